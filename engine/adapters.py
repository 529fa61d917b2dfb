"""The adapters of a plan, LoRA and DoRA, put on the layers of a module and taken off again.

A layer X with an adapter is replaced by one that holds it: its parameters are then `X.base_layer.*`
beside the adapter's `X.lora_A.default.weight` and so on, which are peft's names. Plans, events and
the model's tree keep the names of the model itself. peft (the extra `peft`) is imported where an
adapter is made: it takes a second, and it may not be there.
"""

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from engine.contract.adapters import NEEDS_PEFT
from engine.contract.errors import UserError
from engine.contract.plan import Assignment
from engine.seeding import seeded

NAME = "default"
"""peft's usual name of an adapter; a layer has one at most."""
_KEPT = re.compile(r"(.+)\.base_layer\.(weight|bias)")
_ADAPTER = re.compile(rf"(.+)\.(lora_A|lora_B|lora_magnitude_vector)\.{NAME}\.weight")


class Kind(NamedTuple):
    """What is asked of an adapter."""

    rank: int
    dora: bool


class Adapted(nn.Module):
    """A layer with an adapter; what there is to it without peft."""

    base_layer: nn.Module
    """The layer itself, its parameters as they were."""

    @property
    def kind(self) -> Kind:
        raise NotImplementedError

    @property
    def weight(self) -> Tensor:
        """The weight with the adapter in it, through which gradients flow to the adapter."""
        raise NotImplementedError


def own_name(name: str) -> tuple[str, bool]:
    """A parameter's name in the model as it came, and whether it is an adapter's.

    An adapter's name is that of the weight it is for.
    """
    if match := _KEPT.fullmatch(name):
        return f"{match[1]}.{match[2]}", False
    if match := _ADAPTER.fullmatch(name):
        return f"{match[1]}.weight", True
    return name, False


def own_modules(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """`named_modules` of the model as it came: the layers themselves, and nothing of adapters."""
    inside: tuple[str, ...] = ()
    for path, layer in module.named_modules():
        if path.startswith(inside):
            continue
        if isinstance(layer, Adapted):
            inside = (f"{path}.",)
            yield path, layer.base_layer
        else:
            yield path, layer


def own_parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """`named_parameters` of the model as it came."""
    for name, parameter in module.named_parameters():
        own, of_adapter = own_name(name)
        if not of_adapter:
            yield own, parameter


def apply(module: nn.Module, assignments: Mapping[str, Assignment], seed: int) -> list[str]:
    """Have the adapters that a plan asks for, and no others.

    A new one changes nothing of what the module computes, and is drawn from `seed` and the layer's
    path alone. One that is asked for no more, or otherwise, is first merged into the layer's
    weight; returns the paths of these layers. Raises `UserError`, with nothing changed, where peft
    is needed and missing.
    """
    asked = {
        name.removesuffix(".weight"): Kind(says.lora, says.dora)
        for name, says in assignments.items()
        if says.lora
    }
    return _have(module, asked, seed, merge=True)


def fit(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Have the adapters whose parameters are in `state`, which is then to be loaded.

    Those that are not are dropped, unmerged. Raises `UserError` where peft is needed and missing.
    """
    layers = dict(own_modules(module))
    asked = {}
    for name, tensor in state.items():
        match = _ADAPTER.fullmatch(name)
        if match and match[2] == "lora_A" and match[1] in layers:
            magnitude = f"{match[1]}.lora_magnitude_vector.{NAME}.weight"
            asked[match[1]] = Kind(len(tensor), magnitude in state)
    _have(module, asked, seed=0, merge=False)


def merged_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """`state_dict` of the model as it came, each adapter merged into a copy of its weight.

    The module is left alone; what has no adapter is not copied.
    """
    layers = dict(_adapted(module))
    state = {}
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            own, of_adapter = own_name(name)
            path, _, last = own.rpartition(".")
            if not of_adapter:
                merge = own != name and last == "weight"
                state[own] = layers[path].weight.detach() if merge else tensor
    return state


def _have(module: nn.Module, asked: Mapping[str, Kind], seed: int, merge: bool) -> list[str]:
    there = dict(_adapted(module))
    gone = [path for path, layer in there.items() if asked.get(path) != layer.kind]
    new = [path for path in asked if path not in there or path in gone]
    adapt = _adapt() if new else None
    for path in gone:
        layer = there[path]
        if merge:
            with torch.no_grad():
                weight = layer.base_layer.get_parameter("weight")
                weight.copy_(layer.weight)
        module.set_submodule(path, layer.base_layer)
    for path in new:
        assert adapt
        with seeded(seed, f"adapter of {path}"):
            module.set_submodule(path, adapt(module.get_submodule(path), asked[path]))
    return gone


def _adapted(module: nn.Module) -> Iterator[tuple[str, Adapted]]:
    return ((p, layer) for p, layer in module.named_modules() if isinstance(layer, Adapted))


def _adapt() -> Callable[[nn.Module, Kind], Adapted]:
    if importlib.util.find_spec("peft") is None:
        raise UserError(NEEDS_PEFT)
    from engine.adapted import adapt

    return adapt
