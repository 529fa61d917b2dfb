"""What an evaluation keeps of samples, and what a task makes of it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.contract.predictions import Cell, Counts


class Measured(NamedTuple):
    """Of B samples, on the device that measured them."""

    sums: Tensor
    """(any,): what is added up over samples."""
    rows: Tensor
    """(B, any): of each sample its loss, and then whatever the task wants."""
    masks: Tensor | None = None
    """(B, 2, H, W), integers: the class of each pixel, true (-1 where it does not count) and as
    said, of samples that have masks."""


class Verdict(NamedTuple):
    """What was said of one sample."""

    labels: Sequence[int] = ()
    """Positions of its classes; none where samples have no classes."""
    said: Sequence[int] = ()
    score: float | None = None
    """What `score` of the objective names."""


class Outcome(NamedTuple):
    """What was said of all samples, class by class; as of `engine.contract.predictions`."""

    counts: list[Counts]
    cells: list[Cell]


def finite(value: float) -> float | None:
    """As the journal and files have it, since JSON has no NaN."""
    return value if math.isfinite(value) else None


def joined(parts: Sequence[Measured]) -> Measured:
    """Of the pieces of a batch."""
    if len(parts) == 1:
        return parts[0]
    sums, rows, masks = zip(*parts, strict=True)
    shown = None if masks[0] is None else torch.cat(masks)
    return Measured(torch.stack(sums).sum(0), torch.cat(rows), shown)


def one_of(labels: NDArray[np.int64], said: NDArray[np.int64], classes: int) -> Outcome:
    """The outcome where each sample has one class; (N,) both."""
    cells, counted = np.unique(labels * classes + said, return_counts=True)
    return from_cells(cells, counted, classes)


def from_cells(places: NDArray[np.int64], counted: NDArray[np.int64], classes: int) -> Outcome:
    """Of `counted` samples each at places true * classes + said, none twice."""
    true, said = np.divmod(places, classes)
    diagonal = true == said
    counts = [
        np.bincount(where, weights, classes).astype(int).tolist()
        for where, weights in (
            (true[diagonal], counted[diagonal]),
            (said, counted),
            (true, counted),
        )
    ]
    cells = zip(true.tolist(), said.tolist(), counted.tolist(), strict=True)
    return Outcome(
        [Counts(*each) for each in zip(*counts, strict=True)], [Cell(*cell) for cell in cells]
    )
