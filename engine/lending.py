"""A module that computes with other weights for a while."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def lent(module: nn.Module, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Have `module` compute with `tensors`, parameters and buffers by torch's names.

    Its own are only put aside meanwhile, so that they come back without a bit of them changed.
    What is lent on the module's device is used where it lies: nothing may train on it.
    """
    own = module.state_dict(keep_vars=True)
    aside = {name: own[name].data for name in tensors}
    try:
        for name, tensor in tensors.items():
            own[name].data = tensor.to(own[name].device)
        yield
    finally:
        for name, data in aside.items():
            own[name].data = data
