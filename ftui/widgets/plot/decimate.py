"""From any number of points to a few for each pixel column, without losing a spike."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ftui.widgets.plot.series import Floats


class Trace(NamedTuple):
    """The pixel columns that have points, from left to right; all arrays have shape (columns,).

    `column` is a whole number within the picture; the nearest point on either side of the picture
    is kept too, at the fraction of a column where it lies, so that the line to it can be drawn.
    """

    column: Floats
    first: Floats
    """NaN where the column's first value is a gap; so `last`."""
    low: Floats
    """NaN where all of the column's values are gaps; so `high`."""
    high: Floats
    last: Floats

    def within(self, columns: int) -> NDArray[np.bool_]:
        """Which of them are in a picture of `columns`."""
        return (self.column >= 0) & (self.column <= columns - 1)


def m4(
    x: Floats, y: Floats, start: float, end: float, columns: int, *, positive: bool = False
) -> Trace:
    """First, lowest, highest and last value of each of `columns` >= 2 pixel columns.

    The middle of the first column is at `start`, that of the last one at `end`. Drawn as lines,
    these values cover the same pixels as all the points would: Jugel et al., "M4: A
    Visualization-Oriented Time Series Data Aggregation", VLDB 2014. With `positive`, values <= 0
    are gaps.
    """
    scale = (columns - 1) / (end - start)
    cuts = np.searchsorted(x, start + (np.arange(columns + 1) - 0.5) / scale)
    column = np.flatnonzero(np.diff(cuts))
    left, right = int(cuts[0]), int(cuts[-1])
    begin, stop = cuts[column] - left, cuts[column + 1] - left
    inside = y[left:right]
    if len(column):
        low, high = np.minimum.reduceat(inside, begin), np.maximum.reduceat(inside, begin)
        if not (np.isfinite(low) & np.isfinite(high)).all() or (positive and low.min() <= 0):
            inside = _with_gaps(inside, positive)
            low, high = np.fmin.reduceat(inside, begin), np.fmax.reduceat(inside, begin)
    else:
        low = high = np.empty(0)
    inner = Trace(column.astype(np.float64), inside[begin], low, high, inside[stop - 1])
    around = [i for i in (left - 1, right) if 0 <= i < len(x)]
    outer = [_point((x[i] - start) * scale, _with_gaps(y[i : i + 1], positive)) for i in around]
    before, after = outer[: left > 0], outer[int(left > 0) :]
    return Trace(*(np.concatenate(parts) for parts in zip(*before, inner, *after, strict=True)))


def _with_gaps(values: Floats, positive: bool) -> Floats:
    shown = np.isfinite(values)
    if positive:
        shown &= values > 0
    return np.where(shown, values, np.nan)


def _point(column: float, value: Floats) -> Trace:
    return Trace(np.array([column]), value, value, value, value)
