"""The top line: which run it is, how it stands, and the figures that matter most."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content

from engine.contract.commands import AnyCommand, describe
from engine.contract.state import RunState
from engine.contract.text import plain
from ftui.bars import bar_text
from ftui.format import duration, filling, measured, number
from ftui.widgets.figure import Figure
from ftui.widgets.plot.smooth import OF_LOSSES, smooth
from ftui.workspace import Standing, Workspace

SIGNS: dict[Standing, tuple[str, str, str]] = {
    # standing: sign, sign in ASCII, style
    "draft": ("✎", "*", ".muted"),
    "reading": ("◌", ".", ".muted"),
    "preparing": ("◌", ".", ".warn"),
    "running": ("▶", ">", ".good"),
    "paused": ("‖", "=", ".warn"),
    "stopped": ("■", "#", ".muted"),
    "finished": ("✓", "+", ".good"),
    "failed": ("✗", "x", ".bad"),
    "crashed": ("✗", "x", ".bad"),
    "lost": ("✗", "x", ".bad"),
}
_GAP = 2
_BAR = 12
_NAME, _NAME_NARROW = 26, 19
_LOSS_STEPS = 400
"""Those before have no weight in the average."""
_RATE_STEPS = 50
_COMMAND = 24


class Part(NamedTuple):
    """One figure; the line drops those of the highest `rank` first where it is narrow."""

    id: str
    rank: int
    content: Content


def standing_content(standing: Standing, ascii_only: bool = False) -> Content:
    """Sign and word of how a run stands."""
    sign, ascii_sign, style = SIGNS[standing]
    return Content.styled(f"{ascii_sign if ascii_only else sign} {standing}", style)


def short_name(name: str, width: int) -> str:
    """A run's name in `width` cells; the year goes first, then the middle.

    The end tells runs of the same day, model and data apart.
    """
    text = plain(name)
    if len(text) > width:
        text = re.sub(r"^\d{4}-", "", text)
    if len(text) > width:
        end = text[len(text) - width // 3 :]
        text = f"{text[: max(0, width - 1 - len(end))]}…{end}"
    return text


def parts(workspace: Workspace, name_width: int = _NAME, ascii_only: bool = False) -> list[Part]:
    """All figures, left to right."""
    brand = Part("brand", 20, Content.styled("ftui", ".brand"))
    how = Part("standing", 0, standing_content(workspace.standing, ascii_only))
    run = workspace.run
    if run is None:
        model = plain(workspace.draft.config.model.name) or "no model chosen"
        return [brand, Part("name", 1, Content(model)), how]
    state = run.state
    name = Part("name", 2, Content.styled(short_name(run.folder.name, name_width), ".strong"))
    if workspace.standing == "reading":  # figures would be of some time ago
        return [brand, name, how]
    if state.phase == "preparing" and state.stage:
        return [brand, name, how, Part("stage", 3, Content(plain(state.stage, 60)))]
    stage = [Part("stage", 3, Content(filling(state.filling)))] if state.filling else []
    sent = _sent(workspace.pending.values())
    return [brand, name, how, *sent, *stage, *_progress(state, ascii_only), *_measures(state)]


def fit(shown: Sequence[Part], width: int) -> list[Part]:
    """Those that have room in `width` cells, least important ones dropped."""
    kept = list(shown)
    while len(kept) > 1 and _width(kept) > width:
        kept.remove(max(kept, key=lambda part: part.rank))
    return kept


def seconds_left(state: RunState) -> float | None:
    """Of training, evaluations not counted; None before anything is known."""
    rate = samples_per_second(state)
    if state.config is None or not rate or state.phase not in ("running", "paused"):
        return None
    samples_a_step = state.config.data.batch_size * state.config.training.accumulate
    return (state.total_steps - state.step) * samples_a_step / rate


def samples_per_second(state: RunState) -> float | None:
    """Over the last steps."""
    recent = state.throughput.values[-_RATE_STEPS:]
    return float(np.nanmean(recent)) if np.isfinite(recent).any() else None


def _sent(pending: Iterable[AnyCommand]) -> list[Part]:
    """The newest command that the worker has not answered yet."""
    waiting = [plain(describe(command), _COMMAND) for command in pending]
    return [Part("sent", 1, Content.styled(f"{waiting[-1]} ...", ".warn"))] if waiting else []


def _progress(state: RunState, ascii_only: bool) -> list[Part]:
    if not state.total_steps:
        return []
    share = state.step / state.total_steps
    full, empty = bar_text(share, _BAR, ascii_only)
    bar = Content.assemble((full, ".accent"), (empty, ".muted"), f" {int(100 * share):3d}%")
    step = f"{state.step:>{len(str(state.total_steps))}}/{state.total_steps}"
    epoch = f"{state.epoch:>{len(str(state.epochs))}}/{state.epochs}"
    found = [
        Part("epoch", 5, _labelled("epoch", epoch)),
        Part("step", 8, _labelled("step", step)),
        Part("bar", 3, bar),
    ]
    left = seconds_left(state)
    if left is not None and left > 0:
        found.append(Part("eta", 6, _labelled("eta", duration(left).ljust(6))))
    return found


def _measures(state: RunState) -> list[Part]:
    found = []
    recent = smooth(state.loss.values[-_LOSS_STEPS:], OF_LOSSES)
    if len(recent):  # the plot marks it so, too
        average = f"~{number(float(recent[-1]))}"
        found.append(Part("loss", 4, _labelled("loss", average.ljust(7))))
    if state.evaluations:
        last = state.evaluations[-1]
        found.append(Part("val", 10, _labelled("val", number(last.loss).ljust(6))))
        main = state.task.figures[state.task.main]
        value = measured(main, last.value(state.task.main))
        found.append(Part("figure", 7, _labelled(main.label, value)))
    if state.base_lr is not None:
        lr = state.lr.values[-1] if len(state.lr) else state.base_lr
        found.append(Part("lr", 11, _labelled("lr", number(lr).ljust(7))))
    if rate := samples_per_second(state):
        found.append(Part("rate", 12, Content(f"{rate:5.0f} {state.task.unit}")))
    return found


def _labelled(label: str, value: str) -> Content:
    return Content.assemble((f"{label} ", ".muted"), value)


def _width(kept: Sequence[Part]) -> int:
    return sum(part.content.cell_length for part in kept) + _GAP * (len(kept) - 1)


class StatusLine(Horizontal):
    """The top line of the screen."""

    IDS = (
        *("brand", "name", "standing", "sent", "stage", "epoch", "step", "bar", "eta"),
        *("loss", "val", "figure", "lr", "rate"),
    )
    DEFAULT_CSS = """
    StatusLine { height: 1; width: 1fr; padding: 0 1; }
    StatusLine > Figure { margin-right: 2; }
    """

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._ascii = ascii_only
        self._figures = {id_: Figure(id=f"status-{id_}") for id_ in self.IDS}

    def compose(self) -> ComposeResult:
        yield from self._figures.values()

    def update_from(self, workspace: Workspace) -> None:
        """Show what the workspace tells, as far as there is room."""
        width = self.app.size.width - 2
        name_width = _NAME if width >= 98 else _NAME_NARROW
        shown = fit(parts(workspace, name_width, self._ascii), width)
        contents = {part.id: part.content for part in shown}
        for id_, figure in self._figures.items():
            figure.display = id_ in contents
            if id_ in contents:
                figure.show(contents[id_])

    @property
    def text(self) -> str:
        """What is to be read on it."""
        return "  ".join(f.text for f in self._figures.values() if f.display)
