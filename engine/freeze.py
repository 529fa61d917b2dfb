"""A freeze plan put into force on a module.

Frozen means `requires_grad=False`, no gradient, and `eval()`: a zeroed gradient still moves weights
through momentum and weight decay, and BatchNorm's statistics drift in training mode whatever
`requires_grad` says.
"""

from collections.abc import Mapping

from torch import nn

from engine.adapters import own_name
from engine.contract.errors import UserError
from engine.contract.plan import Assignment


def apply_plan(module: nn.Module, assignments: Mapping[str, Assignment]) -> None:
    """Freeze and thaw the parameters of `module`, by name, and set the modes that follow.

    Adapters, which must be those of the plan, train.
    """
    for name, parameter in module.named_parameters():
        own, of_adapter = own_name(name)
        parameter.requires_grad_(of_adapter or assignments[own].train)
        if not parameter.requires_grad:
            parameter.grad = None
    set_modes(module)


def check_trains(assignments: Mapping[str, Assignment]) -> None:
    """Raises `UserError` where a plan trains nothing."""
    if not any(says.train or says.lora for says in assignments.values()):
        raise UserError("trainable: the plan freezes every parameter; leave at least one to train.")


def set_modes(module: nn.Module) -> None:
    """`train()` for what trains, `eval()` for the rest; to be called again after an evaluation.

    A module whose parameters, its children's included, are all frozen is in eval mode with
    everything below it. One without parameters, such as Dropout, follows the nearest module above
    it that has some; where it has statistics to keep, as a norm without weights, it trains only if
    all of those train.
    """
    _set_modes(module, some=False, every=False)


def _set_modes(module: nn.Module, some: bool, every: bool) -> None:
    """`some` and `every`: of the parameters of the nearest module above that has any, train."""
    trains = [p.requires_grad for p in module.parameters()]
    if trains:
        some, every = any(trains), all(trains)
    keeps_statistics = not trains and any(True for _ in module.buffers(recurse=False))
    module.training = every if keeps_statistics else some
    for child in module.children():
        _set_modes(child, some, every)
