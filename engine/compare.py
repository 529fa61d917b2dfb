"""Whether two files hold the same weights, bit for bit."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from engine.contract.events import ReplayCompared


def compare(one: Path, other: Path, step: int) -> ReplayCompared:
    """Parameters and buffers of two models, in safetensors files. Raises `OSError`."""
    ours, theirs = load_file(one), load_file(other)
    largest, different = 0.0, sorted(ours.keys() ^ theirs.keys())
    for name in ours.keys() & theirs.keys():
        mine, its = ours[name], theirs[name]
        if mine.shape != its.shape:
            different.append(name)
        elif not torch.equal(mine.view(torch.uint8), its.view(torch.uint8)):
            different.append(name)
            largest = max(largest, float((mine.double() - its.double()).abs().max()))
    return ReplayCompared(
        step=step,
        tensors=len(ours.keys() | theirs.keys()),
        different=sorted(different),
        largest=largest,
    )
