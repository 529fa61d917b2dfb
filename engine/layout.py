"""How tensors lie in memory: their values are the same in each, kernels are not."""

import torch
from torch import Tensor, nn


def lay_out(module: nn.Module, channels_last: bool) -> None:
    """Have 4-d weights, those of convolutions, lie with channels last, or first.

    All strides are then those of a new tensor: those of axes of length 1 would tell how a tensor
    lay before, and kernels are chosen by them.
    """
    wanted = torch.channels_last if channels_last else torch.contiguous_format
    for parameter in module.parameters():
        if parameter.ndim == 4:
            new = torch.empty(parameter.shape, device="meta", memory_format=wanted)
            if parameter.stride() != new.stride():
                parameter.data = parameter.data.clone(memory_format=wanted)


def laid_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """`tensor`, copied to lie as `parameter` where it has its shape and does not."""
    if tensor.shape != parameter.shape or tensor.stride() == parameter.stride():
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
