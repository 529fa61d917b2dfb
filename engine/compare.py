"""Whether two checkpoints hold the same weights, bit for bit."""

from pathlib import Path

import torch
from torch import Tensor

from engine import shards
from engine.contract.events import ReplayCompared


def compare(one: Path, other: Path, step: int) -> ReplayCompared:
    """Parameters and buffers of two models, in folders of `shards`. Raises `OSError`."""
    ours, theirs = shards.read(one), shards.read(other)
    largest, different = 0.0, sorted(ours.keys() ^ theirs.keys())
    for name in ours.keys() & theirs.keys():
        mine, its = ours[name], theirs[name]
        if mine.shape != its.shape:
            different.append(name)
        elif not torch.equal(_bytes(mine), _bytes(its)):
            different.append(name)
            largest = max(largest, float((mine.double() - its.double()).abs().max()))
    return ReplayCompared(
        step=step,
        tensors=len(ours.keys() | theirs.keys()),
        different=sorted(different),
        largest=largest,
    )


def _bytes(tensor: Tensor) -> Tensor:
    """As they are: a NaN is equal to itself, and 0 is not -0."""
    return tensor.reshape(-1).view(torch.uint8)
