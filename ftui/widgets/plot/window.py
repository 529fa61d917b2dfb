"""Which steps are in view: all of them, following the newest, or a stretch that stays."""

import math
from typing import NamedTuple

LEAST_STEPS = 4.0


class Window(NamedTuple):
    """Steps from `start`, in the first pixel column, to `end`, in the last one."""

    start: float
    end: float

    @property
    def span(self) -> float:
        return self.end - self.start

    def holds(self, x: float) -> bool:
        return self.start <= x <= self.end


def whole(first: float, last: float) -> Window:
    """All steps, and at most an eighth more on the right.

    That end moves seldom, so a curve grows into place and most rows needn't be written again.
    """
    span = last - first
    if span <= 0:
        return Window(first - 1, first + 1)
    grain = 2.0 ** math.floor(math.log2(span)) / 8
    return Window(first, first + math.ceil(span / grain - 1e-9) * grain)


def zoom(window: Window, every: Window, around: float, factor: float) -> Window | None:
    """`window` with `factor` of its span, `around` staying in place; None: all is in view."""
    span = max(window.span * factor, min(LEAST_STEPS, every.span))
    if span >= every.span:
        return None
    share = (around - window.start) / window.span
    return _within(around - share * span, span, every)


def pan(window: Window, every: Window, share: float) -> Window:
    """`window` moved by a share of its span, not past the ends."""
    return _within(window.start + share * window.span, window.span, every)


def reveal(window: Window, every: Window, x: float) -> Window:
    """`window`, moved where `x` is out of it."""
    return window if window.holds(x) else _within(x - window.span / 2, window.span, every)


def _within(start: float, span: float, every: Window) -> Window:
    start = max(every.start, min(start, every.end - span))
    return Window(start, start + span)
