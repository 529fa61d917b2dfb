"""A search for a learning rate or a batch size, as the app and the command line show it."""

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from engine.contract.config import Config
from engine.contract.events import PreparationAdvanced, Warned
from engine.contract.finding import (
    HIGHEST_LR,
    LOWEST_LR,
    LR_STEPS,
    SMOOTHING,
    Finding,
    FindRate,
    FindSize,
    RateTried,
    SizeTried,
    Sought,
    Suggested,
)
from engine.contract.tasks import TASKS
from engine.contract.text import plain
from ftui.format import count, duration, number
from ftui.widgets.plot import Marker, Scale, Series

Key = Literal["optimizer.lr", "data.batch_size"]
_GIB = 2**30
_RUN_AWAY = 2.0
"""Times the first loss."""


class Figure(NamedTuple):
    """One of the plots of a search; x is the logarithm to base 2 of what is tried."""

    series: Series
    span: tuple[float, float] | None = None
    """What there is room for from the beginning on."""


class Search:
    """What a search has told so far."""

    def __init__(self, key: Key, config: Config) -> None:
        self.key = key
        self.config = config
        self.stage = ""
        self.warnings: list[str] = []
        self.rates: list[RateTried] = []
        self.sizes: list[SizeTried] = []
        self.suggested: Suggested | None = None
        self.error = ""

    @property
    def sought(self) -> Sought:
        """The question."""
        return FindRate(self.config) if self.key == "optimizer.lr" else FindSize(self.config)

    def apply(self, finding: Finding) -> None:
        """Take in what is told next."""
        match finding:
            case PreparationAdvanced(stage=stage):
                self.stage = stage
            case Warned(message=message):
                self.warnings.append(message)
            case RateTried():
                self.rates.append(finding)
            case SizeTried():
                self.sizes.append(finding)
            case Suggested():
                self.suggested = finding

    @property
    def smoothing(self) -> float:
        """Of its plots: the one that the suggestion goes by."""
        return SMOOTHING if self.key == "optimizer.lr" else 0.0

    @property
    def scale(self) -> Scale:
        """What x is."""
        if self.key == "optimizer.lr":
            powers = range(round(math.log10(LOWEST_LR)), round(math.log10(HIGHEST_LR)) + 1)
            return Scale("rate", self.text, [math.log2(10.0**power) for power in powers])
        return Scale("batch size", self.text, [float(power) for power in range(17)])

    def text(self, x: float) -> str:
        """What is tried at x, as a config takes it."""
        if self.key == "optimizer.lr":
            return f"{2**x:.2g}"
        return str(round(2**x))

    @property
    def value(self) -> str:
        """What is suggested; empty while nothing is."""
        found = self.suggested and self.suggested.value
        return self.text(math.log2(found)) if found else ""

    @property
    def then(self) -> str:
        """What to do once it is taken; empty where nothing."""
        if self.key == "optimizer.lr" or self.value == str(self.config.data.batch_size):
            return ""
        return "Another batch size wants its learning rate found anew."

    @property
    def figures(self) -> list[Figure]:
        """One or two, whatever was told yet."""
        if self.key == "optimizer.lr":
            points = [(x.lr, self._drawn(x.loss)) for x in self.rates]
            span = math.log2(LOWEST_LR), math.log2(HIGHEST_LR)
            return [Figure(_series("loss", points, "primary"), span)]
        unit = TASKS[self.config.task].unit
        speeds = [(x.size, x.samples_per_second) for x in self.sizes]
        memory = [(x.size, x.memory / _GIB) for x in self.sizes]
        return [
            Figure(_series(unit, speeds, "primary", amounts=True)),
            Figure(_series("memory in GiB", memory, "accent", amounts=True)),
        ]

    def _drawn(self, loss: float | None) -> float:
        """NaN of a loss that has run away: beside it the others would be a flat line."""
        first = self.rates[0].loss or math.inf
        return loss if loss is not None and loss <= _RUN_AWAY * first else math.nan

    @property
    def markers(self) -> list[Marker]:
        """Where the suggestion is."""
        found = self.suggested and self.suggested.value
        return [Marker(math.log2(found), "suggested")] if found else []

    @property
    def words(self) -> str:
        """How far it is, or what has come of it; safe to show."""
        if self.error:
            return self.error
        if (found := self.suggested) is None:
            return self._progress
        key = self.key.rpartition(".")[2]
        said = f"{key} = {self.value} is suggested. {found.why}" if self.value else found.why
        made = count(len(self.rates), "step") if self.rates else count(len(self.sizes), "size")
        return plain(f"{said} ({made}, {duration(found.seconds)})", 1000)

    @property
    def _progress(self) -> str:
        if self.rates:
            tried = self.rates[-1]
            rate, loss = self.text(math.log2(tried.lr)), number(tried.loss)
            return f"step {len(self.rates)} of at most {LR_STEPS}: rate {rate}, loss {loss}"
        if self.sizes:
            newest = self.sizes[-1]
            speed, memory = number(newest.samples_per_second), newest.memory / _GIB
            unit = TASKS[self.config.task].unit
            return f"batch size {newest.size}: {speed} {unit}, {memory:.2f} GiB"
        return plain(f"{self.stage} ...") if self.stage else ""


def _series(
    name: str, points: Iterable[tuple[float, float]], style: str, *, amounts: bool = False
) -> Series:
    pairs: Sequence[tuple[float, float]] = list(points)
    x = np.log2(np.array([x for x, _ in pairs], dtype=np.float64))
    y = np.array([y for _, y in pairs], dtype=np.float64)
    return Series(name, x, y, style, points=amounts, from_zero=amounts)
