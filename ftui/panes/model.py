"""Which model it is, and the search for another one."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from engine.contract.catalogue import Catalogue, CatalogueEntry
from engine.contract.config import weights_file
from engine.contract.errors import UserError
from engine.contract.text import plain
from engine.contract.tree import ModelInfo
from ftui.format import count
from ftui.inspecting import ModelInspector
from ftui.panes.pane import Pane
from ftui.paths import PathSuggester, classes_in
from ftui.search import Finder
from ftui.widgets.catalogue import CatalogueList, Columns, SearchInput, download_text, on_disk
from ftui.widgets.lines import Lines
from ftui.widgets.shape import shape
from ftui.widgets.weights import WeightsMenu
from ftui.workspace import Workspace

Choice = tuple[str, str, str, str, str]
"""A model, its weights, the task that it is for, its pooling and the data, as the config names
them."""


class ModelPane(Pane):
    """The chosen model in a few lines; while it is active on a draft, the catalogue too."""

    number = 1
    title = "Model"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", id="model.search", tooltip="Search by name"),
        Binding("w", "weights", "Weights", id="model.weights", tooltip="Choose it with weights"),
        Binding("r", "retry", "Try again", id="model.retry", tooltip="Ask for models once more"),
    ]
    DEFAULT_CSS = """
    ModelPane {
        & > .choosing { display: none; }
        & > #model-summary { height: 1fr; }
        & > #model-columns { height: 1; }
        & > #model-told { height: auto; max-height: 4; }
        &.-active.-choosing > #model-summary { display: none; }
        &.-active.-choosing > .choosing { display: block; }
        & > #model-path { display: none; }
        &.-typing-path > #model-path { display: block; }
    }
    """

    @dataclass
    class Described(Message):
        """A model was chosen, or the draft's own one looked up: this is its tree."""

        model: ModelInfo
        weights: str
        task: str
        classes: int | None
        """That its head is for, where the data's folders tell."""

    @dataclass
    class Failed(Message):
        """The draft's own model was looked up in vain."""

        sentence: str

    class AskedAgain(Message):
        """The tree of the draft's model is wanted, even where code of the user's own must run."""

    def __init__(self, *, ascii_only: bool = False, inspector: ModelInspector) -> None:
        super().__init__(ascii_only=ascii_only)
        self._inspector = inspector
        self._summary = Lines(id="model-summary")
        self._search = SearchInput(
            compact=True, placeholder="/ searches by name", id="model-search", classes="choosing"
        )
        self._columns = Static(id="model-columns", classes="choosing")
        self._list = CatalogueList(cursor=True, id="model-list")
        self._list.add_class("choosing")
        self._menu = WeightsMenu()
        self._path = SearchInput(
            compact=True,
            placeholder="path of a .safetensors or .pth file",
            suggester=PathSuggester({".safetensors", ".pth", ".pt", ".bin", ".ckpt"}),
            id="model-path",
        )
        self._told = Static(id="model-told", classes="choosing", markup=False)

        self._catalogue: Catalogue | None = None
        self._asked_catalogue = False
        self._finder = Finder([])
        self._found: list[int] = []
        self._on_disk: set[str] = set()
        self._lines: dict[tuple[int, bool], Content] = {}
        self._width = 0
        self._chosen: Choice = ("", "", "", "auto", "")
        """Of the draft."""
        self._waits_for_consent = False
        """Whether the draft's model is the user's own code, and nobody has said that it may run."""
        self._describing: Choice | None = None
        self._answered: Choice | None = None
        """Described, while the draft doesn't have the tree yet."""
        self._failed: set[Choice] = set()
        self._error = ""
        self._wants_file = ""
        """The model whose weights' path is being typed."""

    def compose(self) -> ComposeResult:
        yield self._summary
        yield self._search
        yield self._columns
        yield self._list
        yield self._menu
        yield self._path
        yield self._told

    @property
    def target(self) -> Widget:
        return self._list if self.has_class("-choosing") else self._summary

    @property
    def text(self) -> str:
        """What is said below the list."""
        return str(self._told.content)

    # What is shown

    def keep_up(self, workspace: Workspace) -> None:
        """Others wait for the draft's tree."""
        if workspace.run is not None:
            self._answered = None
        elif workspace.draft.config.model.name or self._describing:
            self._look_up(workspace)

    def update(self, workspace: Workspace) -> None:
        choosing = workspace.run is None
        if choosing != self.has_class("-choosing"):
            self.set_class(choosing, "-choosing")
            if self.has_focus_within:
                self.screen.set_focus(self.target)
        if choosing:
            self._look_up(workspace)
        else:
            self._answered = None
        self._summary.show(self._summary_of(workspace))

    def _look_up(self, workspace: Workspace) -> None:
        """Ask for what is to be shown of the draft, and is not known."""
        draft = workspace.draft
        if draft.model is not None:
            self._answered = None
        if not self._asked_catalogue:
            self._read_catalogue()
        model, pooling = draft.config.model, draft.config.text.pooling
        data = draft.config.data.path
        choice = (model.name, model.weights, draft.config.task, pooling, data)
        if choice != self._chosen:
            self._chosen, self._lines = choice, {}
            self._failed.clear()
            if self._catalogue is not None:
                self._error = ""  # it was of another choice
            self._fill()
        may_run = workspace.code_to_allow is None
        if may_run == self._waits_for_consent:
            self._waits_for_consent = not may_run
            self._tell()
        asked = bool(self._describing) or choice == self._answered or choice in self._failed
        if choice[0] and draft.model is None and may_run and not asked:
            self._describe(*choice)

    def _summary_of(self, workspace: Workspace) -> list[Content]:
        config, state, model = workspace.config.model, workspace.state, workspace.model
        if workspace.standing == "reading" and model is None:
            return [Content.styled("Reading the run.", ".muted")]
        if not config.name:
            return [Content.styled("No model is chosen: 1 shows them.", ".muted")]
        weights = plain(state.weights if state and state.weights else config.weights)
        lines = [
            Content.styled(plain(config.name), ".strong"),
            Content.assemble(("weights ", ".muted"), weights, "" if state else self._where()),
        ]
        if model is not None:
            lines.append(shape(model, workspace.classes))
        elif self._describing:
            lines.append(Content.styled("describing it ...", ".muted"))
        elif self._error:
            lines.append(Content.styled(self._error, ".bad"))
        elif workspace.run is None and self._waits_for_consent:
            lines.append(Content.styled("your own code: 1, then r, runs it", ".warn"))
        if workspace.run is not None:
            words = "n makes a draft to choose another."
            lines.append(Content.styled(words, ".muted"))
        return lines

    def _where(self) -> str:
        """Whether the draft's default weights are on disk, or how much there is to download."""
        name, weights, *_ = self._chosen
        entry = next((e for e in self._entries if e.name == name), None)
        if weights != "DEFAULT" or entry is None:
            return ""
        if name in self._on_disk:
            return ", on disk"
        return f", {download_text(entry)} to download" if entry.download_size else ""

    @property
    def _entries(self) -> Sequence[CatalogueEntry]:
        return self._catalogue.entries if self._catalogue else []

    def on_resize(self) -> None:
        super().on_resize()
        self._fill()

    @on(events.DescendantFocus)
    def _look_at_disk(self) -> None:
        if self._catalogue is not None:
            there = on_disk(self._catalogue)
            if there != self._on_disk:
                self._on_disk, self._lines = there, {}
                self._fill()

    def _fill(self) -> None:
        """Show what was found."""
        width = self._list.room
        if width != self._width:
            self._width, self._lines = width, {}
        columns = Columns(width, self.ascii_only)
        self._columns.update(columns.header)
        self._list.show([self._line(index, columns) for index in self._found])
        self._tell()

    def _line(self, index: int, columns: Columns) -> Content:
        entry = self._entries[index]
        chosen = entry.name == self._chosen[0]
        if (index, chosen) not in self._lines:
            line = columns.line(entry, entry.name in self._on_disk, chosen)
            self._lines[index, chosen] = line
        return self._lines[index, chosen]

    def _tell(self) -> None:
        said = [Content.styled(*self._words())]
        name, weights, *_ = self._chosen
        if name:  # which model it is, the list and the top line tell
            where = self._where()
            said.insert(0, Content.assemble(("weights ", ".muted"), plain(weights), where))
        self._told.update(Content("\n").join(said))
        self.refresh_bindings()

    def _words(self) -> tuple[str, str]:
        if self._describing:
            return f"describing {plain(self._describing[0])} ...", ".warn"
        if self._error:
            return f"{self._error} (r tries again)", ".bad"
        if self._waits_for_consent:
            return f"r runs {plain(self._chosen[0])}, your own code, to draw its tree", ".warn"
        if self._catalogue is None:
            return "reading the catalogue of models ...", ".muted"
        if not self._found:
            return "No model is called so; fewer letters find more.", ".muted"
        total = count(len(self._entries), "model")
        return (f"{len(self._found):,} of {total}" if self._search.value else total), ".muted"

    # What the helper process is asked

    @work(exclusive=True, group="catalogue")
    async def _read_catalogue(self) -> None:
        self._asked_catalogue, self._error = True, ""
        self._tell()
        try:
            self._catalogue = await self._inspector.catalogue()
        except UserError as error:
            self._error = plain(error)
            self._tell()
            return
        self._finder = Finder([entry.name for entry in self._entries])
        self._on_disk = on_disk(self._catalogue)
        self._find()
        await self._inspector.start()  # warm by the time a model is chosen

    @work(exclusive=True, group="describe")
    async def _describe(self, name: str, weights: str, task: str, pooling: str, data: str) -> None:
        """Ask for a model's tree, with a head for the classes of the data where folders tell them;
        a newer question takes this one's place."""
        choice = name, weights, task, pooling, data
        self._describing, self._error = choice, ""
        self._tell()
        try:
            classes = await asyncio.to_thread(classes_in, data, task)
            model = await self._inspector.describe(name, weights, classes, task, pooling)
        except UserError as error:
            self._error = plain(error)
            self._failed.add(choice)
            if choice == self._chosen:
                self.post_message(self.Failed(self._error))
        else:
            if (pooling, data) != self._chosen[3:]:
                self._describe(name, weights, task, *self._chosen[3:])
                return
            self._failed.discard(choice)
            self._answered = choice
            self.post_message(self.Described(model, weights, task, classes))
        self._describing = None
        self._tell()

    def _choose(self, name: str, weights: str) -> None:
        file = weights_file(weights)
        if file is not None and not Path(file).is_file():
            self._error = f"{plain(weights)}: there is no such file."
            self._tell()
            return
        self._describe(name, weights, self._task_for(name), *self._chosen[3:])

    def _task_for(self, name: str) -> str:
        """The draft's own task, or what a model is taken for that can't learn that."""
        task = self._chosen[2]
        entry = next((e for e in self._entries if e.name == name), None)
        return task if entry is None or task in entry.tasks else entry.tasks[0]

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "retry":
            return bool(self._error) or self._waits_for_consent
        if action in ("search", "weights"):
            typing = isinstance(self.screen.focused, Input)
            return self._catalogue is not None and self.has_class("-choosing") and not typing
        return True

    def action_search(self) -> None:
        self.screen.set_focus(self._search)

    def action_retry(self) -> None:
        self._failed.clear()
        self._error = ""
        if self._catalogue is None:
            self._read_catalogue()
        self._tell()
        self.post_message(self.AskedAgain())

    def action_weights(self) -> None:
        if self._found and self._list.cursor is not None:
            self._menu.open(self._entries[self._found[self._list.cursor]])

    @on(Input.Changed, "#model-search")
    def _find(self) -> None:
        self._found = self._finder.find(self._search.value)
        self._fill()
        self._list.select(0)

    @on(SearchInput.Left)
    @on(WeightsMenu.Closed)
    def _back(self) -> None:
        self.remove_class("-typing-path")
        self.screen.set_focus(self._list)

    @on(Lines.Opened, "#model-list")
    def _picked(self, event: Lines.Opened) -> None:
        event.stop()
        self._choose(self._entries[self._found[event.index]].name, "DEFAULT")

    @on(Input.Submitted, "#model-search")
    def _first_picked(self, event: Input.Submitted) -> None:
        event.stop()
        self.screen.set_focus(self._list)
        self._list.action_open()

    @on(WeightsMenu.Chosen)
    def _weights_picked(self, event: WeightsMenu.Chosen) -> None:
        if event.weights is not None:
            self._back()
            self._choose(event.model, event.weights)
            return
        self._wants_file = event.model
        self.add_class("-typing-path")
        self.screen.set_focus(self._path)

    @on(Input.Submitted, "#model-path")
    def _path_typed(self, event: Input.Submitted) -> None:
        event.stop()
        self._back()
        if event.value.strip():
            self._choose(self._wants_file, event.value.strip())
