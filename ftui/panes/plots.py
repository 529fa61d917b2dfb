"""The curves of the open run: loss, accuracy, learning rate and throughput."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget

from engine.contract.events import Evaluated
from engine.contract.series import StepSeries
from engine.contract.state import RunState
from engine.contract.text import plain
from ftui.panes.pane import Pane
from ftui.widgets.fitline import FitLine
from ftui.widgets.lines import Lines
from ftui.widgets.plot import Marker, Plot, Series
from ftui.widgets.plot.smooth import OF_LOSSES
from ftui.workspace import Workspace

_CELLS_A_FRAME = 400
"""A change of more takes the place of the next frames: over SSH, bytes are what watching costs."""


class Figure(NamedTuple):
    """One of the plots to choose from."""

    title: str
    series_of: Callable[[RunState], list[Series]]
    smoothing: float = 0.0


def _steps(name: str, series: StepSeries, style: str) -> Series:
    return Series(name, series.steps, series.values, style)


def _evaluated(
    name: str,
    evaluations: Sequence[Evaluated],
    value: Callable[[Evaluated], float | None],
    style: str,
) -> list[Series]:
    """The one series, or none where nothing was evaluated that way."""
    values = np.array([value(x) for x in evaluations], dtype=np.float64)  # None is NaN
    if np.isnan(values).all():
        return []
    steps = np.array([x.step for x in evaluations], dtype=np.float64)
    return [Series(name, steps, values, style, points=True)]


def _loss(state: RunState) -> list[Series]:
    return [
        _steps("train", state.loss, "primary"),
        *_evaluated("val", state.evaluations, lambda x: x.loss, "accent"),
        *_evaluated("val ema", state.averaged, lambda x: x.loss, "secondary"),
    ]


def _metrics(state: RunState) -> list[Series]:
    """Those that lie between 0 and 1, or else the task's first."""
    known = {key: figure for key, figure in state.task.figures.items() if figure.share}
    known = known or {state.task.main: state.task.figures[state.task.main]}
    main, label = next((key, figure.label) for key, figure in known.items())
    return [
        series
        for (key, figure), style in zip(known.items(), ("accent", "secondary"), strict=False)
        for series in _evaluated(figure.label, state.evaluations, _value(key), style)
    ] + _evaluated(f"{label} ema", state.averaged, _value(main), "success")


def _value(key: str) -> Callable[[Evaluated], float | None]:
    return lambda evaluated: evaluated.value(key)


FIGURES = [
    Figure("loss", _loss, smoothing=OF_LOSSES),
    Figure("metrics", _metrics),
    Figure("learning rate", lambda state: [_steps("lr", state.lr, "primary")]),
    Figure("throughput", lambda state: [_steps(state.task.unit, state.throughput, "primary")]),
]


def _of_parent(series: Series) -> Series:
    return replace(series, name=f"parent {series.name}", style_key="foreground", dashed=True)


_FIRST_STEPS = [
    ("1", "choose a model"),
    ("2", "say which of its modules train"),
    ("6", "set the folder of the data, and all else"),
    ("s", "start"),
    ("5", "or open a run that is there already"),
]


class PlotsPane(Pane):
    """One plot at a time; `f` goes to the next."""

    number = 4
    title = "Plots"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "f",
            "figure(1)",
            "Next plot",
            id="plots.next",
            tooltip="The next plot: loss, accuracy, ...",
        ),
        Binding("F", "figure(-1)", "Plot before", show=False, id="plots.previous"),
    ]

    def __init__(self, *, ascii_only: bool = False) -> None:
        super().__init__(ascii_only=ascii_only)
        self.plot = Plot(mode="ascii" if ascii_only else "braille")
        self._words = Lines()
        self.frames_per_second = 4.0
        self._figure = 0
        self._fit = FitLine()
        self._state: RunState | None = None
        self._compared: RunState | None = None
        """The run that the open one is a fork of."""
        self._next_draw = 0.0
        self._waits: Timer | None = None

    def compose(self) -> ComposeResult:
        yield self._words
        yield self.plot
        yield self._fit

    def on_mount(self) -> None:
        self.plot.smoothing = FIGURES[0].smoothing

    @property
    def target(self) -> Widget:
        return self.plot if self.plot.display else self._words

    @property
    def text(self) -> str:
        """What is to be read in it."""
        return f"{self.plot.text}\n{self._fit.text}" if self.plot.display else self._words.text

    def update(self, workspace: Workspace) -> None:
        self._state = state = workspace.state
        self._compared = workspace.parent.state if workspace.parent else None
        origin = _origin(state) if state else ""
        if origin != (self.border_subtitle or ""):  # setting it draws the whole pane again
            self.border_subtitle = origin
        has_curves = state is not None and bool(len(state.loss) or state.evaluations)
        if has_curves != self.plot.display:
            focused = self.has_focus_within
            self.plot.display, self._words.display = has_curves, not has_curves
            if focused:
                self.screen.set_focus(self.target)
        self._fit.update_from(workspace)
        if has_curves:
            self._draw_in_turn()
        else:
            self._words.show(_why_empty(workspace))

    def action_figure(self, step: int) -> None:
        self._figure = (self._figure + step) % len(FIGURES)
        self.plot.smoothing = FIGURES[self._figure].smoothing
        self._draw()

    def _draw_in_turn(self) -> None:
        """Draw now, or once the last drawing is paid off."""
        left = self._next_draw - time.monotonic()
        if left <= 0:
            self._draw()
        elif self._waits is None:
            self._waits = self.set_timer(left, self._draw)

    def _draw(self) -> None:
        if self._waits is not None:
            self._waits.stop()
            self._waits = None
        if self._state is not None:
            figure = FIGURES[self._figure]
            series = figure.series_of(self._state)
            if self._compared is not None:
                series += map(_of_parent, figure.series_of(self._compared))
            cells = self.plot.show(series, _markers(self._state), figure.title)
            frames = cells / _CELLS_A_FRAME
            self._next_draw = time.monotonic() + max(0.0, frames - 1) / self.frames_per_second


def _markers(state: RunState) -> list[Marker]:
    begun = [Marker(state.parent.step, _origin(state))] if state.parent else []
    return begun + [Marker(step, plain(label)) for step, label in state.markers]


def _origin(state: RunState) -> str:
    """Of which run the open one is a fork, and where."""
    if state.parent is None:
        return ""
    return f"forked from {plain(Path(state.parent.parent).name)} at step {state.parent.step:,}"


def _why_empty(workspace: Workspace) -> list[Content]:
    if workspace.run is None:
        steps = [Content.assemble((f"  {key}  ", ".key"), does) for key, does in _FIRST_STEPS]
        return [Content("No run is open. The way to one:"), Content(""), *steps]
    if workspace.standing == "reading":
        words = "Reading the run."
    elif workspace.standing == "preparing":
        words = "The worker prepares. Curves begin with the first step."
    else:
        words = "This run has not trained a step."
    return [Content.styled(words, ".muted")]
