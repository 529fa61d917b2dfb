"""What a model said of the validation data at one evaluation, sample by sample: plain data.

A file of it holds the counts of all samples, but only the worst of these one by one, so that it
stays small whatever there is to validate on.
"""

from collections.abc import Iterator
from typing import NamedTuple

from msgspec import Struct, field

FOLDER = "predictions"
"""In the run's folder."""
NEWEST, BEST = f"{FOLDER}/newest.json", f"{FOLDER}/best.json"
ROWS = 50_000
"""Samples that a file names at most."""
MASKS = 16
"""Of how many of the worst pictures it holds the masks."""


class Row(Struct, frozen=True, array_like=True):
    """One sample."""

    number: int
    """Its position in the list of validation samples, from 0."""
    name: str
    """A file, FILE:LINE or words; safe to show."""
    loss: float | None
    """None where not finite."""
    labels: list[int]
    """Positions of its classes; of one-label tasks one, of tasks without classes none."""
    said: list[int]
    """Likewise, what the model said."""
    score: float | None
    """What `Predictions.score` names."""


class Counts(NamedTuple):
    """How often a class was rightly said, said, and there: samples, or of masks pixels."""

    right: int
    said: int
    there: int


class Cell(NamedTuple):
    """Of a confusion matrix: so often samples (of masks: pixels) of class `true` were called
    `said`."""

    true: int
    said: int
    times: int


class Masks(Struct, frozen=True):
    """Of one picture as it was given to the model: PNGs of 16 bits, the position of each pixel's
    class plus one; 0 does not count."""

    number: int
    """As of `Row`."""
    true: bytes
    said: bytes


class Predictions(Struct, frozen=True):
    """All that is kept of an evaluation."""

    task: str
    step: int
    epoch: int
    samples: int
    """How many were evaluated."""
    classes: list[str]
    """Safe to show; empty where the task has none."""
    score: str
    """What the rows' score is, in words; empty where they have none."""
    counts: list[Counts]
    """One a class."""
    cells: list[Cell]
    """Those of the confusion matrix that are not 0; none where a sample may have several classes,
    or the task has none."""
    rows: list[Row]
    """The worst losses, the worst first."""
    masks: list[Masks] = field(default_factory=list)

    def masks_of(self, row: Row) -> Masks | None:
        """The masks of a sample, where they are kept."""
        return next((x for x in self.masks if x.number == row.number), None)

    def figures(self) -> Iterator["ClassFigures"]:
        """Of each class, in their order."""
        for name, counts in zip(self.classes, self.counts, strict=True):
            right, said, there = counts
            yield ClassFigures(
                name,
                _share(right, said),
                _share(right, there),
                _share(2 * right, said + there),
                _share(right, said + there - right),
                there,
            )


class ClassFigures(NamedTuple):
    """Of one class; None where it is a share of nothing."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    iou: float | None
    support: int
    """How many samples (of masks: pixels) have it."""


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
