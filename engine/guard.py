"""The guard: a loss that goes wrong sends the run back to its last good checkpoint."""

import math
from statistics import median
from typing import NamedTuple

from engine.contract.training_tables import GuardConfig
from engine.progress import Progress

_WINDOW, _FEWEST = 50, 20
"""Steps that the recent range is taken from, and how many of them it needs."""
_DEVIATION = 1.4826
"""Makes the median absolute deviation of a normal distribution its standard deviation."""
_LEAST_DEVIATION = 0.01
"""As a share of the median: of a loss that hardly moves, not every wiggle is a spike."""
_PATIENCE_FP16 = 10
"""Steps in a row: fp16's scaler leaves out one whose gradients overflow, and lowers its scale."""


class Alarm(NamedTuple):
    """What the guard saw."""

    step: int
    what: str
    """In a few words, such as 'the loss became nan'."""
    finite: bool


class Guard:
    """Watches each loss as it is read, and raises one alarm until somebody has dealt with it.

    What it remembers is in `progress`, so that it sees the same after a resume.
    """

    def __init__(self, progress: Progress, patient: bool) -> None:
        """`patient` with losses that are not finite: for fp16."""
        self._progress = progress
        self._most_not_finite = _PATIENCE_FP16 if patient else 0
        self.alarm: Alarm | None = None
        self.tolerated = False
        """Whether a spike was told of and not acted on, since the last loss within the range."""

    def watch(self, step: int, loss: float, config: GuardConfig) -> None:
        """Take in the loss of a step."""
        if not config.rollbacks or self.alarm:
            return
        if not math.isfinite(loss):
            if self._progress.not_finite > self._most_not_finite:
                self.alarm = Alarm(step, f"the loss became {loss}", finite=False)
        elif config.spike:
            self._watch_range(step, loss, config.spike)

    def _watch_range(self, step: int, loss: float, spike: float) -> None:
        recent = self._progress.recent
        if len(recent) >= _FEWEST:
            middle = median(recent)
            deviation = _DEVIATION * median(abs(x - middle) for x in recent)
            most = middle + spike * max(deviation, _LEAST_DEVIATION * abs(middle))
            if loss > most:
                what = f"the loss rose to {loss:.4g}, from about {middle:.4g}"
                self.alarm = Alarm(step, what, finite=True)
                return
        self.tolerated = False
        self._progress.recent = [*recent[1 - _WINDOW :], loss]
