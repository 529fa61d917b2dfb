"""A model of a config without memory, and a batch for it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from engine import adapters, models
from engine.contract.config import Config
from engine.contract.plan import Assignment
from engine.models.describe import LayersOnMeta
from engine.models.source import LoadedModel


def load(
    config: Config,
    classes: int,
    mode: FakeTensorMode,
    with_adapters: Mapping[str, Assignment] | None = None,
) -> LoadedModel:
    """As the worker loads it, on the CPU by its own word, its tensors those of `mode`.

    `with_adapters` is a plan that has some. No weights are read. Raises `UserError`.
    """
    with LayersOnMeta():
        found = models.load(config, classes, lambda _: None, structure_only=True)
        # peft moves layers about, which tensors of `mode` don't let it
        adapters.apply(found.module, with_adapters or {}, config.training.seed)
    return replace(found, module=without_memory(found.module, mode))


def without_memory(module: nn.Module, mode: FakeTensorMode) -> nn.Module:
    """`module` itself, its tensors replaced by those of `mode`; shared ones stay shared."""
    known: dict[Tensor, Tensor] = {}

    def fake(tensor: Tensor) -> Tensor:
        if tensor not in known:
            bare = tensor.detach()
            made = FakeTensor(mode, bare, torch.device("cpu")) if bare.is_meta else None
            known[tensor] = mode.from_tensor(bare) if made is None else made
            if isinstance(tensor, nn.Parameter):
                known[tensor] = nn.Parameter(known[tensor], tensor.requires_grad)
        return known[tensor]

    for part in module.modules():
        for own in cast(list[dict[str, Tensor | None]], [part._parameters, part._buffers]):
            own.update({name: fake(x) for name, x in own.items() if x is not None})
    return module
