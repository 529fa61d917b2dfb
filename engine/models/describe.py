"""A module as plain data, and how to build one without memory."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from engine.contract.preprocessing import Preprocessing
from engine.contract.tree import ModelInfo, ModuleInfo

_ALLOCATE = (torch.empty, torch.zeros, torch.ones, torch.randn)


class LayersOnMeta(TorchFunctionMode):
    """While active, torch's layers allocate and initialise nothing: their weights are on `meta`.

    Layers take their memory from `torch.empty` and its like. What is computed stays real, which
    `torch.device("meta")` does not grant: RegNet's widths, the indices of Swin's position biases.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _ALLOCATE:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def model_info(
    name: str,
    module: nn.Module,
    head: Sequence[str],
    preprocessing: Preprocessing | None = None,
    positions: int | None = None,
    pooling: str = "",
) -> ModelInfo:
    """The tree of `module`, in the order of `named_modules`; buffers are left out.

    A parameter that several modules share stands on the first, as in `named_parameters`.
    """
    own: dict[str, dict[str, int]] = {}
    for full_name, parameter in module.named_parameters():
        path, _, last = full_name.rpartition(".")
        own.setdefault(path, {})[last] = parameter.numel()
    modules = [
        ModuleInfo(
            path,
            type(child).__name__,
            own.get(path, {}),
            _adaptable(child) if "weight" in own.get(path, {}) else None,
        )
        for path, child in module.named_modules()
        if path
    ]
    return ModelInfo(name, modules, list(head), preprocessing, own.get("", {}), positions, pooling)


def _adaptable(layer: nn.Module) -> tuple[int, int] | None:
    """`ModuleInfo.adaptable`.

    Not for grouped convolutions, whose adapters peft can't merge, nor for those whose dilation or
    padding mode its adapters would not have; nor for a library's own, as timm's ScaledStdConv2d.
    """
    if isinstance(layer, nn.Linear):
        return layer.out_features, layer.in_features
    if type(layer).__name__ == "Conv1D":  # of Transformers' GPT-2: a Linear, its weight turned
        inputs, outputs = layer.get_parameter("weight").shape
        return outputs, inputs
    if type(layer) is nn.Conv2d and layer.groups == 1 and layer.padding_mode == "zeros":
        height, width = layer.kernel_size
        if layer.dilation == (1, 1):
            return layer.out_channels, layer.in_channels * height * width
    return None


def last_layer(module: nn.Module) -> str:
    """Path of the classifier of a network that ends in a Linear or Conv2d layer."""
    layers = [p for p, m in module.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    return str(layers[-1])
