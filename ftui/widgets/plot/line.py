"""A line through the columns of a trace: which pixel rows it covers in every column."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ftui.widgets.plot.decimate import Trace
from ftui.widgets.plot.series import Floats


class Line(NamedTuple):
    """Rows count from the top; arrays have shape (columns,), NaN where there is no line."""

    top: Floats
    bottom: Floats


def connect(rows: Trace, columns: int) -> Line:
    """Join the columns of `rows`, a trace whose values are whole pixel rows, low being the top.

    A line covers one stretch of rows in each column. Between neighbours it changes column half way,
    so that it is one pixel thin and has no holes.
    """
    every = np.arange(-1, columns + 1)
    after = np.searchsorted(rows.column, every)
    known = np.isin(every, rows.column)
    at = np.minimum(after, len(rows.column) - 1)
    across = _across(rows, every, after)
    arrive, leave = np.where(known, rows.first[at], across), np.where(known, rows.last[at], across)
    top, bottom = np.where(known, rows.low[at], across), np.where(known, rows.high[at], across)

    rise = arrive[1:] - leave[:-1]
    half = leave[:-1] + np.trunc(rise / 2)
    rest = half + np.sign(rise)
    top = np.fmin(top[1:-1], np.fmin(rest[:-1], half[1:]))
    bottom = np.fmax(bottom[1:-1], np.fmax(rest[:-1], half[1:]))
    return Line(top, bottom)


def _across(rows: Trace, every: NDArray[np.intp], after: NDArray[np.intp]) -> Floats:
    """The row of the straight line over each column, NaN where an end is missing or a gap."""
    inside = (after > 0) & (after < len(rows.column))
    right = np.where(inside, after, 0)
    left = np.where(inside, after - 1, 0)
    width = np.where(inside, rows.column[right] - rows.column[left], 1)
    share = (every - rows.column[left]) / width
    value = np.rint(rows.last[left] + (rows.first[right] - rows.last[left]) * share)
    return np.where(inside, value, np.nan)
