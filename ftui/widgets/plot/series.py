"""What a plot shows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Series:
    """One curve. NaN and infinities are gaps in it."""

    name: str
    x: Floats
    """Step numbers, ascending, shape (points,)."""
    y: Floats
    """Values, shape (points,)."""
    style_key: str
    """The theme's colour: one of `widget.STYLE_KEYS`."""
    points: bool = False
    """Sparse values: each gets a mark, lines join them, and smoothing leaves them alone."""
    dashed: bool = False
    """Of another run, to compare with: drawn below the rest, and followed by nothing."""


@dataclass(frozen=True)
class Marker:
    """A step where something was changed."""

    x: float
    label: str
