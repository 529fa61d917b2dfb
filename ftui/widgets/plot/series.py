"""What a plot shows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Series:
    """One curve. NaN and infinities are gaps in it."""

    name: str
    x: Floats
    """Step numbers, or what a `Scale` says, ascending; shape (points,)."""
    y: Floats
    """Values, shape (points,)."""
    style_key: str
    """The theme's colour: one of `widget.STYLE_KEYS`."""
    points: bool = False
    """Sparse values: each gets a mark, lines join them, and smoothing leaves them alone."""
    dashed: bool = False
    """Of another run, to compare with: drawn below the rest, and followed by nothing."""
    from_zero: bool = False
    """Whether the axis of values begins at 0 or below, unless it is logarithmic: amounts whose
    ratios matter."""


@dataclass(frozen=True)
class Marker:
    """A step where something was changed."""

    x: float
    label: str


class Scale(NamedTuple):
    """What x stands for. A logarithmic axis has logarithms for x, and texts of what they are of."""

    name: str
    """In the singular."""
    text: Callable[[float], str]
    ticks: Sequence[float] | None = None
    """Values of x to label where there is room, ascending; None: round numbers."""


STEPS = Scale("step", "{:,.0f}".format)
