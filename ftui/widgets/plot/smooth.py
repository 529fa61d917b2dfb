"""The exponential moving average that TensorBoard draws."""

import numpy as np

from ftui.widgets.plot.series import Floats

OF_LOSSES = 0.9
"""Weight of the past where nobody chose another, of losses of single steps."""
_NEGLIGIBLE = 1e-17
_EMPTY: Floats = np.empty(0)


def smooth(values: Floats, weight: float) -> Floats:
    """The debiased exponential moving average of `values`, shape (points,).

    `weight` in [0, 1) is that of the past. Non-finite values stay out of the average and are gaps.
    """
    return Smoother().smooth(values, weight)


class Smoother:
    """Remembers what it smoothed, so that a series that grows costs only its new points."""

    def __init__(self) -> None:
        self._raw: Floats = _EMPTY
        self._smoothed: Floats = _EMPTY
        self._forget(0.0)

    def smooth(self, values: Floats, weight: float) -> Floats:
        """As the function `smooth`."""
        known = len(self._raw)
        if weight != self._weight or not _same(values[:known], self._raw):
            self._forget(weight)
            known = 0
        if known < len(values):
            fresh = values[known:]
            self._smoothed = np.concatenate([self._smoothed, self._extend(fresh)])
            self._raw = np.concatenate([self._raw, fresh])
        return self._smoothed

    def _forget(self, weight: float) -> None:
        self._weight = weight
        self._raw = self._smoothed = _EMPTY
        self._average, self._count = 0.0, 0

    def _extend(self, values: Floats) -> Floats:
        shown = np.isfinite(values)
        smoothed = np.full(len(values), np.nan)
        average = _recur((1 - self._weight) * values[shown], self._average, self._weight)
        if len(average):
            seen = self._count + np.arange(1, len(average) + 1)
            smoothed[shown] = average / (1 - self._weight**seen)
            self._average, self._count = float(average[-1]), int(seen[-1])
        return smoothed


def _recur(inputs: Floats, start: float, weight: float) -> Floats:
    """s[i] = weight * s[i - 1] + inputs[i], by doubling (Hillis and Steele, 1986): log n passes."""
    sums = inputs.copy()
    if len(sums):
        sums[0] += weight * start
    reach = 1
    while reach < len(sums) and weight**reach > _NEGLIGIBLE:
        sums[reach:] += weight**reach * sums[:-reach]
        reach *= 2
    return sums


def _same(a: Floats, b: Floats) -> bool:
    """Bit by bit: a NaN equals itself."""
    return np.array_equal(
        np.ascontiguousarray(a).view(np.int64), np.ascontiguousarray(b).view(np.int64)
    )
