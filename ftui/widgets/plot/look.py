"""How a plot is looked at, and the signs it is drawn with."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from ftui.widgets.plot.canvas import Span
from ftui.widgets.plot.series import STEPS, Floats, Marker, Scale, Series
from ftui.widgets.plot.window import Window, whole

Mode = Literal["braille", "quadrant", "ascii"]
Row = tuple[Span, ...]
Smoothed = Callable[[Series], Floats]
"""The moving average of a series, kept by whoever draws it again and again."""


class Shown(NamedTuple):
    """What a plot shows."""

    series: Sequence[Series] = ()
    markers: Sequence[Marker] = ()
    title: str = ""
    steps: tuple[float, float] | None = None
    """Steps to have room for, points or not."""
    scale: Scale = STEPS

    @property
    def every(self) -> Window | None:
        """All there is to see; None: no points."""
        extent, steps = self.extent, self.steps
        if extent is None:
            return None
        first, last = steps or extent
        return whole(min(first, extent[0]), max(last, extent[1]))

    @property
    def extent(self) -> tuple[float, float] | None:
        """The first and the last step that have a point; None: no points."""
        return _extent(self.series)

    @property
    def own(self) -> Sequence[Series]:
        """Those that are not only there to compare with, where they have points."""
        return [s for s in self.series if not s.dashed and len(s.x)] or self.series

    @property
    def reach(self) -> tuple[float, float] | None:
        """The first and the last step that a point of `own` is at; None: no points."""
        return _extent(self.own)


def _extent(series: Sequence[Series]) -> tuple[float, float] | None:
    filled = [s.x for s in series if len(s.x)]
    if not filled:
        return None
    return min(float(x[0]) for x in filled), max(float(x[-1]) for x in filled)


class Look(NamedTuple):
    """What a person chose."""

    mode: Mode = "braille"
    log_y: bool = False
    smoothing: float = 0.0
    window: Window | None = None
    """None follows the newest steps."""
    cursor: float | None = None
    """The step that the read-out is about; None: the newest."""


class Glyphs(NamedTuple):
    """The signs around the curves, one cell each; " " leaves a sign out."""

    lines: str
    """Curves in the legend; a second and third carry their sign along the way, too."""
    dashes: str
    points: str
    tick: str
    side: str
    corner: str
    floor_tick: str
    floor: str
    grid: str
    changed: str
    changed_top: str
    cursor: str
    cursor_foot: str
    ellipsis: str
    at_most: str
    between: str


UNICODE = Glyphs(
    lines="━◇△□",
    dashes="╍",
    points="●◆▲■",
    tick="┤",
    side="│",
    corner="└",
    floor_tick="┬",
    floor="─",
    grid="┈",
    changed="┊",
    changed_top="▾",
    cursor="│",
    cursor_foot="▴",
    ellipsis="…",
    at_most="≤",
    between=" · ",
)
ASCII = Glyphs(
    lines="-+x%",
    dashes="=",
    points="o*#@",
    tick="+",
    side="|",
    corner="+",
    floor_tick="+",
    floor="-",
    grid=" ",
    changed="!",
    changed_top="v",
    cursor="|",
    cursor_foot="^",
    ellipsis="~",
    at_most="<=",
    between=", ",
)


def glyphs_of(mode: Mode) -> Glyphs:
    return ASCII if mode == "ascii" else UNICODE


def sign_of(series: Sequence[Series], index: int, glyphs: Glyphs) -> str:
    """The sign of a series: no two of a kind have the same, so that colour is never alone."""
    own = series[index]
    if own.dashed and not own.points:
        return glyphs.dashes
    signs = glyphs.points if own.points else glyphs.lines
    alike = [s for s in series[:index] if s.points == own.points and (own.points or not s.dashed)]
    return signs[len(alike) % len(signs)]


def nearest(series: Series, x: float) -> int | None:
    """The index of the point nearest to `x`; None: there are no points."""
    if not len(series.x):
        return None
    right = int(np.searchsorted(series.x, x))
    near = [i for i in (right - 1, right) if 0 <= i < len(series.x)]
    return min(near, key=lambda i: abs(float(series.x[i]) - x))
