"""What the model said of the validation data: where it errs, by class and sample by sample."""

import asyncio
from itertools import islice
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import ContentSwitcher, Static

from engine.contract.errors import UserError
from engine.contract.events import PredictionsSaved
from engine.contract.predictions import BEST, NEWEST, Predictions, Row
from engine.contract.text import plain
from engine.runs.predictions import as_csv, load
from ftui import predicted
from ftui.format import percent
from ftui.inspecting import ModelInspector
from ftui.screens.consent import SampleSheet
from ftui.screens.help import help_on
from ftui.widgets.figure import Figure
from ftui.widgets.fileprompt import FilePrompt
from ftui.widgets.heatmap import HeatMap
from ftui.widgets.lines import Lines
from ftui.widgets.prompt import Prompt
from ftui.widgets.sample import SampleView
from ftui.widgets.tabs import TabLine
from ftui.workspace import Workspace

_SECONDS_BETWEEN_LOOKS = 0.25
_LISTED = 1000
"""Samples in the list; the CSV has more."""
_VIEWS = ("matrix", "classes", "samples")
_NOTHING = "No predictions are kept of this run: v evaluates it while it is live."
_KEYS = "tab 1-3 view  enter opens  a all  s shares  b best  ctrl+s CSV  ? keys"
_PER_LABEL = "per-label"
_NO_CLASSES = (
    "A language model says tokens, not classes: in place of a matrix there are the blocks of text "
    "that it found hardest, the highest loss first (3)."
)


def _key(id_: str, keys: str, action: str, label: str, tooltip: str) -> Binding:
    return Binding(keys, action, label, id=f"predictions.{id_}", tooltip=tooltip)


class _Picked(Lines):
    """A list that tells where its cursor is."""

    class Moved(Message):
        """The cursor is on another line."""

    def select(self, index: int) -> None:
        super().select(index)
        self.post_message(self.Moved())


class PredictionsScreen(SampleSheet):
    """It follows the run: a newer evaluation takes the place of the one that is shown."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            _key(name, str(n), f"view('{name}')", name, f"The {name}")
            for n, name in enumerate(_VIEWS, 1)
        ),
        _key("next", "tab", "next", "Next", "Matrix, classes, samples in turn"),
        _key("shares", "s", "shares", "Shares", "Counts, or shares of the true class"),
        _key("best", "b", "best", "Best", "The newest evaluation, or the best"),
        _key("all", "a", "all", "All", "All samples again, after those of one cell"),
        _key("help", "question_mark,f1", "help", "Help", "These keys"),
        _key("save", "ctrl+s", "save", "CSV", "Save the samples as CSV"),
        _key("close", "q,P", "dismiss", "Close", "Close this"),
    ]
    DEFAULT_CSS = """
    PredictionsScreen {
        & > Vertical { width: 100%; height: 100%; }
        & TabLine { display: block; padding: 0; }
        & ContentSwitcher { height: 1fr; }
        & #samples > _Picked { height: 1fr; max-height: 12; }
        & #samples.-whole > _Picked { height: 1; }
        & SampleView { height: 2fr; margin-top: 1; }
        & #columns { color: $foreground-muted; }
        & #words { height: auto; }
    }
    """

    def __init__(self, workspace: Workspace, inspector: ModelInspector, ascii_only: bool) -> None:
        self._files = FilePrompt(self._say)
        super().__init__(workspace, self._files)
        self._path: str = NEWEST
        self._saved: PredictionsSaved | None = None
        self.found: Predictions | None = None
        """What is shown; None until it was read."""
        self._rows: list[Row] = []
        self._headings = dict.fromkeys(_VIEWS, "")
        """Above each view; above the matrix stands what its cursor is on."""
        self._cell: tuple[int, int] | None = None
        """True class and guess, where the list is of these alone."""
        self._heading, self._columns = Figure(), Figure(id="columns")
        self._tabs = TabLine([name.title() for name in _VIEWS])
        self.matrix = HeatMap(ascii_only=ascii_only)
        self.by_label = Lines(id=_PER_LABEL)
        """In place of the matrix, where a sample has several labels, or none."""
        self.by_class, self.samples = Lines(id="classes"), _Picked(cursor=True)
        self.sample = SampleView(inspector, ascii_only=ascii_only)
        self._words = Static(id="words", markup=False)
        self._switcher = ContentSwitcher(
            Vertical(self.matrix, id="matrix"),
            self.by_label,
            self.by_class,
            Vertical(self.samples, self.sample, id="samples"),
            initial="matrix",
        )

    def compose(self) -> ComposeResult:
        box = Vertical(
            self._heading, self._tabs, self._columns, self._switcher, self._words, self.prompt
        )
        run = self.workspace.run
        box.border_title = f"Predictions of {plain(run.folder.name)}" if run else "Predictions"
        box.border_subtitle = _KEYS
        yield box

    def on_mount(self) -> None:
        self.set_interval(_SECONDS_BETWEEN_LOOKS, self._look)
        self.call_after_refresh(self._look)
        self.action_view("matrix")

    def on_resize(self, event: events.Resize) -> None:
        if self.found:
            self.call_after_refresh(self._show)

    @property
    def view(self) -> str:
        """Which of the three is shown."""
        shown = self._switcher.current or "matrix"
        return "matrix" if shown == _PER_LABEL else shown

    # What is shown

    def _look(self) -> None:
        """Read what the run has told since."""
        state = self.workspace.state
        saved = state.predictions.get(self._path) if state else None
        if saved is None:
            self._heading.show(_NOTHING)
        elif saved != self._saved:
            self._saved = saved
            self._load(saved)

    @work(exclusive=True, group="load")
    async def _load(self, saved: PredictionsSaved) -> None:
        run = self.workspace.run
        assert run
        try:
            self.found = await asyncio.to_thread(load, run.folder, saved.path)
        except UserError as error:
            self._say(str(error))
        else:
            self._say("")
            self._show()

    def _show(self) -> None:
        found = self.found
        assert found
        which = "newest" if self._path == NEWEST else "best"
        self._heading.show(Content.assemble((which, ".accent"), f" {predicted.heading(found)}"))
        self.matrix.show(found.classes, found.counts if found.cells else [], found.cells)
        self._show_classes(found)
        self._show_samples(found)
        self.action_view(self.view)

    def _show_classes(self, found: Predictions) -> None:
        if not found.counts:
            self.by_class.say(_NO_CLASSES)
            self.by_label.say(_NO_CLASSES)
            return
        if not found.cells:
            table = predicted.aligned(predicted.label_columns(found), predicted.label_rows(found))
            self._headings["matrix"] = table[0]
            self.by_label.show(table[1:])
        table = predicted.aligned(predicted.class_columns(found), predicted.class_rows(found))
        self._headings["classes"] = table[0]
        self.by_class.show(table[1:])

    def _show_samples(self, found: Predictions) -> None:
        cell = self._cell
        rows = (
            x for x in found.rows if cell is None or (x.labels, x.said) == ([cell[0]], [cell[1]])
        )
        self._rows = list(islice(rows, _LISTED))
        below = predicted.common_folder(found)
        cells = predicted.row_cells(found, self._rows, below)
        table = predicted.aligned(predicted.row_columns(found), cells)
        self._headings["samples"] = table[0]
        self.samples.show(table[1:])
        self.show_samples()

    @on(_Picked.Moved)
    def show_samples(self) -> None:
        at, state = self.samples.cursor, self.workspace.state
        if self.view == "samples" and self.found and state and state.config:
            row = self._rows[at] if at is not None and at < len(self._rows) else None
            self.sample.show(self.found, row, state.config, self.refusal)

    @on(HeatMap.Moved)
    def _explain(self) -> None:
        words = self._headings[self.view]
        if self.view == "matrix" and self.found and self.found.cells:
            words = self._of_cell(self.found)
        self._columns.show(words)

    def _of_cell(self, found: Predictions) -> str:
        """What the cursor of the matrix is on."""
        true, said = (plain(found.classes[place]) for place in self.matrix.cursor)
        share = self.matrix.share
        words = f" ({percent(share)} of them)" if share is not None else ""
        return f"{true}, called {said}: {self.matrix.times:,}{words}"

    # Keys

    def action_view(self, name: str) -> None:
        views = {"matrix": self.matrix, "classes": self.by_class, "samples": self.samples}
        if name == "matrix" and self.found and not self.found.cells:
            views[name] = self.by_label
        self._switcher.current = _PER_LABEL if views[name] is self.by_label else name
        self._tabs.show(_VIEWS.index(name) + 1)
        if self.focused in (None, *views.values(), self.matrix, self.by_label):
            self.set_focus(views[name])  # no typing is broken off
        self._explain()
        self.show_samples()

    def action_next(self) -> None:
        self.action_view(_VIEWS[(_VIEWS.index(self.view) + 1) % len(_VIEWS)])

    @on(TabLine.Chosen)
    def _tab_chosen(self, event: TabLine.Chosen) -> None:
        self.action_view(_VIEWS[event.number - 1])

    def action_shares(self) -> None:
        self.matrix.toggle_shares()

    def action_best(self) -> None:
        self._path = BEST if self._path == NEWEST else NEWEST
        self._look()

    @on(HeatMap.Opened)
    def _cell_opened(self) -> None:
        """List the samples of the cell; those of pixels have none, nor has an empty one."""
        if self.found and self.found.task != predicted.SEGMENTATION and self.matrix.times:
            self._filter(self.matrix.cursor)

    def action_all(self) -> None:
        self._filter(None)

    def _filter(self, cell: tuple[int, int] | None) -> None:
        self._cell = cell
        if self.found:
            self._show_samples(self.found)
            self.samples.select(0)
        self.action_view("samples")

    def show_others(self) -> bool:
        whole = self.view == "samples" and self.query_one("#samples").has_class("-whole")
        if whole:
            self._sample_opened()
        return whole

    @on(_Picked.Opened)
    def _sample_opened(self) -> None:
        """Give the sample all the room, or the list its part again."""
        self.query_one("#samples").toggle_class("-whole")
        self.call_after_refresh(lambda: self.samples.select(self.samples.cursor or 0))

    def action_help(self) -> None:
        self.app.push_screen(help_on(self))

    def action_save(self) -> None:
        if self.found:
            self._files.save("predictions.csv", as_csv(self.found), "table")

    @on(Prompt.Closed)
    def _answered(self, event: Prompt.Closed) -> None:
        event.stop()
        self._say("")
        self.action_view(self.view)

    def _say(self, sentence: str) -> None:
        self._words.update(Content.styled(sentence, ".bad"))
