"""Scales, ticks at round numbers, and their labels in few characters."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ftui.widgets.plot.series import Floats

_LEAST_SPAN = 1e-290  # its fractions are still exact
_SUFFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


class Axis(NamedTuple):
    """A stretch of values, linear or logarithmic. `low` and `high` are logarithms where `log`."""

    low: float
    high: float
    log: bool = False

    def position(self, values: Floats) -> Floats:
        """Where values stand: 0 at the low end, 1 at the high end."""
        scaled = np.log10(values) if self.log else values
        return (scaled - self.low) / (self.high - self.low)

    def ticks(self, most: int, least_step: float = 0.0) -> list[float]:
        """Round values, at most about `most`, for a linear axis at least `least_step` apart."""
        if not self.log:
            return _round_values(self.low, self.high, most, least_step)
        around = range(math.floor(self.low), math.ceil(self.high) + 1)
        decades = self._inside([10.0**e for e in around])
        fine = self._inside([m * 10.0**e for e in around for m in (1, 2, 5)])
        if 3 <= len(fine) <= most + 1:
            return fine
        if len(decades) >= 2:
            return decades[:: math.ceil(len(decades) / (most + 1))]
        return _round_values(10**self.low, 10**self.high, most, 0.0)

    def _inside(self, values: list[float]) -> list[float]:
        return [v for v in values if v and self.low - 1e-9 <= math.log10(v) <= self.high + 1e-9]


def value_axis(low: float, high: float, most: int, log: bool) -> Axis:
    """An axis that holds `low` to `high` with ends that seldom move when the values grow.

    Raises `ValueError` where `log` and `low` is not above 0.
    """
    if log:
        low, high = math.log10(low), math.log10(high)
    if high - low <= max(1e-9 * abs(low), 1e-9 * abs(high), _LEAST_SPAN):
        margin = 0.5 if log else (abs(low) * 0.1 or 1.0)
        low, high = low - margin, high + margin
    grain = nice_step(high - low, most) / 4
    return Axis(math.floor(low / grain + 1e-6) * grain, math.ceil(high / grain - 1e-6) * grain, log)


def nice_step(span: float, most: int, least: float = 0.0) -> float:
    """The least of 1, 2 and 5 times a power of ten that fits into `span` `most` times or less."""
    rough = max(span / max(1, most), least)
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if rough <= m * power * (1 + 1e-9))


def _round_values(low: float, high: float, most: int, least_step: float) -> list[float]:
    """Multiples of a nice step, two at least where `least_step` allows."""
    step = nice_step(high - low, most, least_step)
    found = multiples(low, high, step)
    if len(found) > 1 or step <= least_step:
        return found
    return _round_values(low, high, 2 * most, least_step)


def multiples(low: float, high: float, step: float) -> list[float]:
    """Multiples of `step` from `low` to `high`."""
    numbers = range(math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6) + 1)
    digits = max(0, 1 - math.floor(math.log10(step)))
    return [round(n * step, digits) for n in numbers]  # 3 * 0.1 is not 0.3


def labels(ticks: Sequence[float], log: bool = False) -> list[str]:
    """One label a tick, with as many decimals as the closest of them need: 0.25, 1.5k, 3e-4."""
    top = max((abs(t) for t in ticks), default=0.0)
    if log:
        return [_alone(t) for t in ticks]
    unit, suffix = next(((u, s) for u, s in _SUFFIXES if top >= 10 * u), (1.0, ""))
    decimals = _decimals([t / unit for t in ticks])
    if (decimals > 4 and top < 0.01) or top >= 1e16:
        return [_scientific(t) for t in ticks]
    return [f"{t / unit:.{decimals}f}{suffix}" if t else "0" for t in ticks]


def _alone(value: float) -> str:
    if not 1e-2 <= abs(value) < 1e16:
        return _scientific(value)
    unit, suffix = next(((u, s) for u, s in _SUFFIXES if abs(value) >= u), (1.0, ""))
    return f"{value / unit:.10g}{suffix}"


def _scientific(value: float) -> str:
    """3e-4, 1.5e20."""
    if not value:
        return "0"
    mantissa, exponent = f"{value:.9e}".split("e")
    return f"{float(mantissa):.10g}e{int(exponent)}"


def _decimals(values: Sequence[float]) -> int:
    for digits in range(12):
        if all(abs(round(v, digits) - v) <= 1e-12 * abs(v) for v in values):
            return digits
    return 12
