"""Passes through a model that leave no trace."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from engine.device import Device


@contextmanager
def untouched(module: nn.Module, device: Device) -> Iterator[Callable[[], None]]:
    """Gives what puts generators and statistics back to how they are now; so it is at the end.

    Statistics are the buffers of what is in training mode now.
    """
    generators = device.rng_state()
    training = (x for x in module.modules() if x.training)
    statistics = [(b, b.clone()) for x in training for b in x.buffers(recurse=False)]

    def reset() -> None:
        device.set_rng_state(generators)
        with torch.no_grad():
            for buffer, value in statistics:
                buffer.copy_(value)

    try:
        yield reset
    finally:
        reset()
