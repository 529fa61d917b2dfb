"""Whether what is remembered of a sample is its own: the same beside other samples."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from engine.data.batch import Inputs
from engine.prefix.calls import tensors
from engine.prefix.cut import LENGTH, Cut, Run, Unfit
from engine.prefix.store import resized

ROUNDING: Mapping[str, float] = {"fp32": 0.01, "bf16": 0.2, "fp16": 0.2}
"""By how much a value may differ, by precision, of itself and of the mean size of all of them:
kernels round by the size of a batch, and later layers multiply that."""


def check_apart(
    cut: Cut,
    run: Run,
    probes: Sequence[Inputs],
    recorded: Sequence[Mapping[str, Tensor]],
    outputs: Sequence[Any],
    rounding: float,
) -> None:
    """Raises `Unfit` where what is `recorded` of the second batch, whose samples are the last of
    the first, does not serve for these there. `outputs` are what the whole passes give."""
    whole, part = recorded
    if not all(_alike(_shared(whole[name], part[name]), part[name], rounding) for name in part):
        raise Unfit("what it gives of a sample depends on the others in its batch")
    if not any(LENGTH in row.shape for row in cut.points.values()):
        return
    inputs = probes[0] if isinstance(probes[0], dict) else {}
    mixed = {
        name: torch.cat([x[: -len(part[name])], resized(part[name], x.shape[1:])])
        for name, x in whole.items()
    }
    played = tensors(cut.play(run, {**inputs, **mixed}))
    for x, y, small in zip(played, *map(tensors, outputs), strict=True):
        if x.ndim > 0 and not _alike(_shared(x, small), _shared(y, small), rounding):
            raise Unfit("what comes after it depends on how far a text is filled up")


def _shared(x: Tensor, small: Tensor) -> Tensor:
    """What `small` has of `x`: the last samples, and texts as far as they go there."""
    return x[(slice(-len(small), None), *map(slice, small.shape[1:]))]


def _alike(x: Tensor, y: Tensor, rounding: float) -> bool:
    if not y.is_floating_point():
        return torch.equal(x, y)
    x, y = x.detach().float(), y.detach().float()
    return torch.allclose(x, y, rounding, rounding * float(y.abs().mean()), equal_nan=True)
