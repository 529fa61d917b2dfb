"""Modules that are given new weights, as a rule's `reinit` asks: once in a run.

What is drawn depends on the run's seed and the module's path alone: not on the device, on other
modules, or on when it happens. Re-initialising the last layers before fine-tuning is Zhang et al.
2020, arXiv:2006.05987, section 4.
"""

import copy
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import chain

import torch
from torch import Tensor, nn

from engine.adapters import own_modules
from engine.contract.errors import UserError
from engine.contract.plan import Assignment, begins_anew
from engine.contract.text import plain
from engine.seeding import seeded


def due(
    module: nn.Module, assignments: Mapping[str, Assignment], done: Collection[str]
) -> list[str]:
    """Paths of the modules that a plan re-initialises, without those that are `done`.

    Raises `UserError` where one can't do it, or where the plan asks it of a part of its parameters.
    """
    paths = []
    for path, owner in own_modules(module):
        named = owner.named_parameters(path, recurse=False)
        own = [name for name, _ in named if name in assignments]  # shared: the first
        if path in done or not begins_anew(own, assignments):
            continue
        if _reset_of(owner) is None:
            raise UserError(
                f"trainable: {plain(own[0])} can't be re-initialised: "
                f"{plain(type(owner).__name__)} has no reset_parameters; let a later rule without "
                "reinit match it."
            )
        paths.append(path)
    return paths


def draw(module: nn.Module, paths: Iterable[str], seed: int) -> None:
    """Give the modules at `paths` new parameters and buffers; what lies below them is kept.

    torch's generators are left as they were. Only a copy is reset, since attention's own way
    reaches into the layer below it, and it is on the CPU, so that all devices draw alike.
    """
    for path in paths:
        owner = module.get_submodule(path)
        fresh = copy.deepcopy(owner).cpu()
        reset = _reset_of(fresh)
        assert reset
        with seeded(seed, path):
            reset()
        with torch.no_grad():
            for old, new in zip(_own(owner), _own(fresh), strict=True):
                old.copy_(new)


def _reset_of(module: nn.Module) -> Callable[[], None] | None:
    """`reset_parameters`, which torch's MultiheadAttention spells with an underscore."""
    public = getattr(module, "reset_parameters", None)
    return public or getattr(module, "_reset_parameters", None)


def _own(module: nn.Module) -> Iterable[Tensor]:
    return chain(module.parameters(recurse=False), module.buffers(recurse=False))
