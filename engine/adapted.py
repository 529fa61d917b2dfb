"""Linear and Conv2d layers with an adapter: peft's, with three traps mended.

* Some attention does not call its layers but reads their weights: Swin's in torchvision, that of
  BEiT, EVA and Swin v2 in timm, and the output of torch's MultiheadAttention. In peft those are the
  frozen ones, so the adapter would silently do nothing. Here `weight` has the adapter in it.
* Some models ask a layer for more than its weight: DaViT in timm for its kernel size.
* GPT-2's Conv1D in Transformers is a Linear whose weight is (inputs, outputs).
* DoRA divides by the norm of each row, and pretrained networks have rows of nothing but zeros.
"""

from typing import Any

import torch
from peft.tuners.lora import Conv2d, Linear, LoraConfig
from peft.tuners.lora.dora import DoraConv2dLayer, DoraLinearLayer
from torch import Tensor, nn

from engine.adapters import NAME, Adapted, Kind


def adapt(layer: nn.Module, kind: Kind) -> Adapted:
    """`layer` inside of one that adds an adapter to it; drawn from torch's CPU generator.

    A is drawn as torch draws a layer, B is zero, and alpha is the rank, so that it scales nothing.
    """
    rank, dora = kind
    turned = type(layer).__name__ == "Conv1D"
    config = LoraConfig(r=rank, lora_alpha=rank, use_dora=dora, fan_in_fan_out=turned)
    is_conv = isinstance(layer, nn.Conv2d)
    made = (_AdaptedConv2d if is_conv else _AdaptedLinear)(
        layer, NAME, config=config, r=rank, lora_alpha=rank
    )
    if dora:
        magnitude = (_MagnitudeConv2d if is_conv else _Magnitude)(fan_in_fan_out=turned)
        a, b = made.lora_A[NAME].weight, made.lora_B[NAME].weight
        magnitude.update_layer(base_layer=layer, lora_A=a, lora_B=b, scaling=1)
        made.lora_magnitude_vector[NAME] = magnitude
    return made


class _Effective(Adapted):
    """What both kinds of layer have in common; peft's own classes come after it."""

    r: dict[str, int]
    lora_magnitude_vector: nn.ModuleDict

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base_layer"), name)

    @property
    def kind(self) -> Kind:
        return Kind(self.r[NAME], NAME in self.lora_magnitude_vector)

    @property
    def weight(self) -> Tensor:
        kept = self.base_layer.get_parameter("weight")
        turned = bool(getattr(self, "fan_in_fan_out", False))
        delta: Tensor = self.get_delta_weight(NAME)
        if NAME not in self.lora_magnitude_vector:
            return kept + delta
        magnitude = self.lora_magnitude_vector[NAME]
        rows = delta.T if turned else delta
        norm = magnitude.get_weight_norm(kept, rows, scaling=1)  # type: ignore[operator]
        scale: Tensor = magnitude.weight / norm.detach()  # as a constant: section 4.3
        scale = scale if turned else scale.view(-1, *(1,) * (kept.ndim - 1))
        return scale * (kept + delta)


class _AdaptedLinear(_Effective, Linear):
    pass


class _AdaptedConv2d(_Effective, Conv2d):
    pass


class _Magnitude(DoraLinearLayer):
    def get_weight_norm(self, *args: Any, **kwargs: Any) -> Tensor:
        return _above_zero(super().get_weight_norm(*args, **kwargs))


class _MagnitudeConv2d(DoraConv2dLayer):
    def get_weight_norm(self, *args: Any, **kwargs: Any) -> Tensor:
        return _above_zero(super().get_weight_norm(*args, **kwargs))


def _above_zero(norm: Tensor) -> Tensor:
    """The norm of a row of zeros becomes the least that can divide itself; others stay."""
    return norm.clamp_min(torch.finfo(norm.dtype).tiny)
