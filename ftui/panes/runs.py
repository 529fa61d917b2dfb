"""The runs of the folder: how each stands, how far it is, and its best result."""

from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from engine.contract.text import plain
from engine.runs.store import RunSummary
from ftui.format import best_main, count, number
from ftui.panes.pane import Pane
from ftui.paths import near
from ftui.widgets.lines import Lines
from ftui.widgets.status import short_name, standing_content
from ftui.workspace import Workspace

_NAME = 22
"""Cells that a name is given before there is a best result beside it."""
_STANDING = 11
_BEST = 14
_PARENT = 25
_WORDY = 50
"""Cells from which on the state is written out beside its sign."""


class RunList(Lines):
    """The lines; it tells where its cursor goes."""

    class Moved(Message):
        """The cursor was put on a run, perhaps another one."""

    def __init__(self) -> None:
        super().__init__(cursor=True)

    def select(self, index: int) -> None:
        super().select(index)
        self.post_message(self.Moved())


class RunsPane(Pane):
    """Newest first; `enter` opens the one under the cursor."""

    number = 5
    title = "Runs"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "open", "Open", id="runs.open", tooltip="Open the run under the cursor"),
    ]

    class Chosen(Message):
        """A run is to be opened."""

        def __init__(self, folder: Path) -> None:
            super().__init__()
            self.folder = folder

    def __init__(self, *, ascii_only: bool = False) -> None:
        super().__init__(ascii_only=ascii_only)
        self._lines = RunList()
        self._shown: list[RunSummary] = []
        self._open: Path | None = None
        self._sought: Path | None = None
        """The run that was opened, until the list has it and shows it."""
        self._name_room = self._bests = self._parent_room = 0
        """Cells of a name, how many best results stand beside it, and cells of a fork's parent."""

    def compose(self) -> ComposeResult:
        yield self._lines

    @property
    def target(self) -> Widget:
        return self._lines

    def update(self, workspace: Workspace) -> None:
        runs = workspace.runs
        if runs is None:
            return
        folder = workspace.run.folder if workspace.run else None
        if folder != self._open:
            self._sought = folder
        paths = [Path(run.path) for run in runs]
        selected = self._sought if self._sought in paths else self._selected
        self._shown, self._open = list(runs), folder
        if not runs:
            self._subtitle()
            hint = " yet: s starts one" if workspace.run is None else ""
            self._lines.say(f"No runs in {plain(near(workspace.runs_dir))}/{hint}.")
            return
        self._fit()
        self._lines.show([self._line(run) for run in runs])
        sought = selected is not None and selected == self._sought
        if selected in paths and (self._lines.cursor != paths.index(selected) or sought):
            self._lines.select(paths.index(selected))
        if sought:
            self._sought = None
        self._subtitle()

    @on(RunList.Moved)
    def _subtitle(self) -> None:
        """What the run under the cursor is a fork of, where its line has no room for that."""
        cursor = self._lines.cursor
        of = _parent(self._shown[cursor]).strip() if cursor is not None and self._shown else ""
        runs = count(len(self._shown), "run") if self._shown else ""
        subtitle = of if of and not self._parent_room else runs
        if subtitle != (self.border_subtitle or ""):  # setting it draws the whole pane again
            self.border_subtitle = subtitle

    def action_open(self) -> None:
        self._lines.action_open()

    @property
    def _selected(self) -> Path | None:
        cursor = self._lines.cursor
        return Path(self._shown[cursor].path) if cursor is not None and self._shown else None

    @on(Lines.Opened)
    def _chosen(self, event: Lines.Opened) -> None:
        event.stop()
        if self._shown:
            self.post_message(self.Chosen(Path(self._shown[event.index].path)))

    def _fit(self) -> None:
        """Share the room out: a best result comes once names have what they need."""
        room = self._lines.room - len("▸ ") - len(" 100%")
        room -= _STANDING + 2 if self._wordy else len("▶ ")
        longest = max(len(plain(run.name)) for run in self._shown)
        forks = [len(_parent(run)) for run in self._shown if run.parent]
        left = room - min(longest, _NAME)
        self._parent_room = max(forks) if forks and left >= max(forks) else 0
        self._bests = max(0, min(2, (left - self._parent_room) // _BEST))
        self._name_room = min(longest, room - self._bests * _BEST - self._parent_room)

    @property
    def _wordy(self) -> bool:
        return self._lines.room >= _WORDY

    def _line(self, run: RunSummary) -> Content:
        here = (">" if self.ascii_only else "▸") if self._is_open(run) else " "
        standing = standing_content(run.state, self.ascii_only)
        share = f"{100 * run.step // run.total_steps:>4}%" if run.total_steps else "     "
        worded = standing.pad_right(_STANDING + 2 - standing.cell_length)
        bests = _best(run)[: self._bests]
        parent = plain(_parent(run), self._parent_room) if self._parent_room else ""
        return Content.assemble(
            (f"{here} ", ".accent"),
            worded if self._wordy else standing[:2],
            short_name(run.name, self._name_room).ljust(self._name_room),
            share,
            (parent.ljust(self._parent_room), ".muted"),
            *((f"{text:>{_BEST}}", ".muted") for text in bests),
        )

    def _is_open(self, run: RunSummary) -> bool:
        return self._open is not None and Path(run.path) == self._open


def _parent(run: RunSummary) -> str:
    """Which run a fork goes on from; the end tells runs of the same day, model and data apart."""
    return f"  of {short_name(Path(run.parent).name, _PARENT - 5)}" if run.parent else ""


def _best(run: RunSummary) -> list[str]:
    loss = run.best_model.get("val_loss")
    return [best_main(run), f"val {number(loss)}" if loss is not None else ""]
