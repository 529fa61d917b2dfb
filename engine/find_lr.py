"""The learning-rate range test: train while the rate grows, and see where the loss falls.

Smith 2015, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186, section 3.3,
in the form that fastai and Lightning gave it: one step a rate, rates that grow exponentially, a
bias-corrected moving average of the losses, and an end where that has diverged.
"""

import math
import time
from collections.abc import Iterator, Sequence

import numpy as np
from msgspec.structs import replace

from engine import gradients, pieces
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.events import StepsTrained
from engine.contract.finding import (
    HIGHEST_LR,
    LOWEST_LR,
    LR_STEPS,
    SMOOTHING,
    RateTried,
    Suggested,
)
from engine.contract.training_tables import EarlyStoppingConfig, ScheduleConfig
from engine.loop import take_step
from engine.session import Session

_DIVERGED = 4.0
"""Times the lowest average, as in fastai and Lightning."""
_REACH = 3
"""Steps on either side that a slope is measured over: half a decade in all."""
_FIRST = 10
"""Losses whose mean is where the curve begins: at their rates nothing is learnt yet."""


def for_search(config: Config) -> Config:
    """`config` without what follows the steps or moves the rate, and would only take memory."""
    return replace(
        config,
        stages=[],
        schedule=ScheduleConfig(name="constant"),
        guard=replace(config.guard, rollbacks=0),
        training=replace(config.training, cache="off"),
        regularisation=replace(config.regularisation, ema=0.0, wise_ft=False),
        early_stopping=EarlyStoppingConfig(),
    )


def find_lr(session: Session) -> Iterator[RateTried | Suggested]:
    """Take a step at each rate, and suggest the base rate; multipliers of the plan are kept.

    Suggested is the rate where the average loss falls steepest (Lightning's choice), but at most a
    tenth of the rate where it is lowest (fastai's older one), to two digits; none where it doesn't
    fall by more than losses scatter. The session, of a config `for_search`, is used up: what it
    trained is of no use. Raises `UserError` where no step can be made.
    """
    for _ in gradients.before_first_step(session):
        pass
    began, tried, losses = time.monotonic(), list[float](), list[float]()
    lowest, diverged = math.inf, False
    for number in range(LR_STEPS):
        lr = LOWEST_LR * (HIGHEST_LR / LOWEST_LR) ** (number / (LR_STEPS - 1))
        loss = _step(session, lr)
        yield RateTried(lr=lr, loss=loss)
        if loss is None:
            diverged = True
            break
        tried.append(lr)
        losses.append(loss)
        average = averages(losses)
        lowest = min(lowest, average[-1])
        if average[-1] > max(_DIVERGED * lowest, average[0]):
            diverged = True
            break
    value, why = suggestion(tried, losses)
    if diverged:
        why += f" It diverged at {lr:.2g}."
    yield Suggested(value=value, why=why, seconds=time.monotonic() - began)


def averages(losses: Sequence[float]) -> list[float]:
    """The bias-corrected moving average at each loss (Kingma and Ba 2015, section 3)."""
    found, average = [], 0.0
    for count, loss in enumerate(losses, start=1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        found.append(average / (1 - SMOOTHING**count))
    return found


def suggestion(rates: Sequence[float], losses: Sequence[float]) -> tuple[float | None, str]:
    """A rate for losses at growing rates, as `find_lr` says, and why; None where none is good."""
    curve = np.array(averages(losses))
    low = int(curve.argmin()) if len(curve) else 0
    if low <= 2 * _REACH:
        return None, "The loss fell at no rate."
    scatter = float(np.median(np.abs(np.diff(losses[: low + 1]))))
    if np.mean(losses[:_FIRST]) - curve[low] <= scatter:
        return None, "At no rate the loss fell by more than it scatters from batch to batch."
    fall = curve[2 * _REACH : low + 1] - curve[: low + 1 - 2 * _REACH]
    steepest, tenth = rates[int(fall.argmin()) + _REACH], rates[low] / 10
    value = float(f"{min(steepest, tenth):.2g}")
    if tenth < steepest:
        return value, f"A tenth of {rates[low]:.2g}, where the loss was lowest."
    return value, f"There the loss fell steepest; it was lowest at {rates[low]:.2g}."


def _step(session: Session, lr: float) -> float | None:
    """The loss of a step at a base rate; None where it is not finite."""
    p = session.progress
    p.base_lr = lr
    missed = 0
    while missed < len(session.train_data):
        if p.batch == len(session.train_data):
            p.epoch, p.batch = p.epoch + 1, 0
        start = p.batch
        try:
            stepped = take_step(session)
        except Exception as error:
            pieces.cut_after(session, error, start)
            continue
        if stepped:
            told = next(x for x in session.pending.flush() if isinstance(x, StepsTrained))
            return told.loss[0]
        missed += 1
    raise UserError("data.path: no training sample could be read, so there is nothing to try.")
