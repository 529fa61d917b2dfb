"""Whether a run overfits, told from its curves: pure, and with the evidence in numbers.

Augmentation, mixup, label smoothing and dropout are on in training and off in validation, so the
level of the two losses says nothing. What does is that one rises while the other goes on falling.
"""

import math
from typing import NamedTuple

import numpy as np

from engine.contract.series import Floats
from engine.contract.state import RunState

_ALIKE = 0.02
"""Share of the loss that two evaluations of equally good weights may lie apart in any case."""
_SURE = 2.0
"""Standard deviations that a difference must have beyond what chance alone would explain."""
_FEW = 8
"""The noise of a curve of so many points could as well be twice as large as it seems."""
_DEVIATION = 1.4826 / math.sqrt(6)
"""Makes the median size of second differences the standard deviation of the values themselves."""


class Epoch(NamedTuple):
    """Where both losses were at the end of an epoch."""

    number: int
    step: int
    validation: float
    training: float
    """Mean over the epoch, as minimised; NaN where no step of it is known."""
    training_error: float
    """Standard error of that mean."""

    @property
    def gap(self) -> float:
        """What validation costs more; below 0 where training is made harder."""
        return self.validation - self.training


class Fit(NamedTuple):
    """How training and validation go together."""

    best: Epoch
    """With the lowest validation loss."""
    last: Epoch
    before: Epoch | None
    """The one before the last."""
    noise: float
    """How far above the lowest a validation loss may lie and mean nothing."""
    overfits: bool


def fit_of(state: RunState) -> Fit | None:
    """What the epochs so far tell; None before the first was evaluated.

    A run overfits where its last two validation losses both are above the lowest by more than
    noise, which is `early_stopping.min_delta` at least, and the training loss has fallen since by
    more than twice its standard error.
    """
    told = [x for x in state.evaluations if x.reason == "epoch"]
    begun = [0, *(x.step for x in told)]
    epochs = [
        _epoch(state.loss.values[start : x.step], x.epoch, x.step, x.loss)
        for start, x in zip(begun, told, strict=False)
        if x.loss is not None
    ]
    if not epochs:
        return None
    curve = np.array([x.validation for x in epochs])
    lowest = int(curve.argmin())
    best, last = epochs[lowest], epochs[-1]
    min_delta = state.config.early_stopping.min_delta if state.config else 0.0
    noise = max(min_delta, _noise(curve))
    risen = len(curve) - lowest > 2 and float(curve[-2:].min()) - best.validation > noise
    error = math.hypot(best.training_error, last.training_error)
    falls = best.training - last.training > _SURE * error
    before = epochs[-2] if len(epochs) > 1 else None
    return Fit(best, last, before, noise, risen and falls)


def _epoch(steps: Floats, number: int, step: int, validation: float) -> Epoch:
    losses = steps[np.isfinite(steps)]
    if not len(losses):
        return Epoch(number, step, validation, math.nan, math.nan)
    error = float(losses.std()) / math.sqrt(len(losses))
    return Epoch(number, step, validation, float(losses.mean()), error)


def _noise(curve: Floats) -> float:
    """How far above the lowest of these losses, shape (evaluations,), chance alone may lead.

    The lowest of n values is about sqrt(2 log n) deviations below their mean. The deviation is
    estimated from second differences, which a trend leaves alone, of the later half of the curve.
    """
    deviation = _ALIKE * abs(float(curve.min()))
    bends = np.abs(np.diff(curve, 2))
    bends = bends[-max(3, math.ceil(len(bends) / 2)) :]
    if len(bends):
        seen = _DEVIATION * float(np.median(bends)) * (1 + _FEW / len(bends))
        deviation = max(deviation, seen)
    return (math.sqrt(2 * math.log(len(curve))) + _SURE) * deviation
