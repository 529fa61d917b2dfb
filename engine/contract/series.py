"""A growing column of values at consecutive steps."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class StepSeries:
    """Values of steps 1, 2, 3, ...: amortised O(1) to append, no copy to read.

    Steps that were never told are NaN.
    """

    def __init__(self) -> None:
        self._values = np.full(1024, np.nan)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, first_step: int, values: Sequence[float | None]) -> None:
        """Set the values of `first_step` and those after it; None is a gap."""
        start, end = first_step - 1, first_step - 1 + len(values)
        if end > len(self._values):
            grown = np.full(max(end, 2 * len(self._values)), np.nan)
            grown[: self._count] = self._values[: self._count]
            self._values = grown
        self._values[start:end] = np.array(values, dtype=np.float64)  # None becomes NaN
        self._count = max(self._count, end)

    def cut(self, last_step: int) -> None:
        """Forget everything after `last_step`."""
        self._values[last_step : self._count] = np.nan
        self._count = min(self._count, last_step)

    @property
    def steps(self) -> Floats:
        return np.arange(1, self._count + 1, dtype=np.float64)

    @property
    def values(self) -> Floats:
        """A read-only view, shape (steps,)."""
        view = self._values[: self._count]
        view.flags.writeable = False
        return view
