"""The module tree with its filter and its totals: what the app shows as one pane."""

from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input

from engine.contract.errors import UserError
from engine.contract.text import plain
from ftui.widgets.module_tree.editor import RowEditor
from ftui.widgets.module_tree.node import ModuleRow, OwnPlan
from ftui.widgets.module_tree.tree import ModuleTree
from ftui.widgets.module_tree.words import totals_text


class FilterInput(Input):
    """Where a filter is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter", "submit", "Keep filter", id="module-filter.enter", tooltip="Keep the filter"
        ),
        Binding("escape", "clear", "Clear filter", id="module-filter.clear", tooltip="Show all"),
        Binding("down", "keep", "To the tree", show=False, id="module-filter.keep"),
    ]

    def action_clear(self) -> None:
        self.value = ""
        self.post_message(self.Submitted(self, ""))

    def action_keep(self) -> None:
        self.post_message(self.Submitted(self, self.value))


class _Line(Widget):
    """One line of text that is worded for the width it has."""

    def render(self) -> Content:
        pane = self.parent
        assert isinstance(pane, ModulePane)
        wording = pane.filter_line if self.has_class("filter") else pane.totals_line
        return Content(wording(self.size.width))


class ModulePane(Vertical):
    """A `ModuleTree`, the filter's line while one holds, and the totals, always in view."""

    DEFAULT_CSS = """
    ModulePane {
        width: 1fr; height: 1fr; layers: base edit;
        & > FilterInput { display: none; }
        & > _Line { width: 1fr; height: 1; padding: 0 1; }
        & > .filter { display: none; }
        &.-typing > FilterInput { display: block; padding: 0 1; }
        &.-filtered > .filter { display: block; }
    }
    """

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.tree_table = ModuleTree(ascii_only=ascii_only)
        self._input = FilterInput(compact=True, placeholder="part of a path, a glob, or type:Conv")
        self._filter = _Line(classes="filter")
        self._editor = RowEditor()
        self._totals = _Line(classes="totals")
        self._pending = 0

    def compose(self) -> ComposeResult:
        yield self.tree_table
        yield self._filter
        yield self._input
        yield self._totals
        yield self._editor

    def on_mount(self) -> None:
        self.watch(self.tree_table, "scroll_y", self._editor.close, init=False)

    def set_model(self, rows: Sequence[ModuleRow], name: str = "model") -> None:
        """Show another model; see `ModuleTree.set_model`."""
        self.tree_table.set_model(rows, name)
        self._pending = 0
        self._totals.refresh()

    def apply_plan(self, plan: Mapping[str, OwnPlan]) -> None:
        """Show a plan; see `ModuleTree.apply_plan`."""
        self.tree_table.apply_plan(plan)
        self._totals.refresh()

    def set_pending(self, paths: Collection[str]) -> None:
        """Show modules as waiting for the worker; see `ModuleTree.set_pending`."""
        self.tree_table.set_pending(paths)
        self._pending = len(paths)
        self._totals.refresh()

    def totals_line(self, width: int) -> str:
        """What trains of the whole model, how much is selected, and how much waits for the worker.

        While a value is typed, what it is.
        """
        if self.tree_table.is_empty:
            return ""
        if self._editor.display:
            return self._editor.words
        modules = self.tree_table.modules
        selected = self.tree_table.selected_count
        more = f", {selected} selected" if selected else ""
        more += f", {self._pending} pending" if self._pending else ""
        trainable, total = modules.trainable(modules.root), modules.whole(modules.root)
        return totals_text(trainable, total, width - len(more)) + more

    def filter_line(self, width: int) -> str:
        """The filter and how much of the model it shows."""
        matches, modules = self.tree_table.filter_counts
        counts = f" — {matches:,} of {modules:,} modules"
        if self.tree_table.glyphs.ellipsis.isascii():
            counts = counts.replace("—", "-")
        return (
            f"filter: {plain(self.tree_table.filter_text, max(1, width - 8 - len(counts)))}{counts}"
        )

    @on(ModuleTree.FilterRequested)
    def _open_filter(self) -> None:
        self.add_class("-typing")
        self._input.value = self.tree_table.filter_text
        self.screen.set_focus(self._input)  # at once: the next key may be typed already

    @on(ModuleTree.SelectionChanged)
    def _count_selected(self) -> None:
        self._totals.refresh()

    @on(ModuleTree.ValueRequested)
    def _open_editor(self, event: ModuleTree.ValueRequested) -> None:
        tree = self.tree_table
        self._editor.open(event.value, event.text, tree.place_of(event.value), tree.targets)
        self._totals.refresh()

    @on(RowEditor.Closed)
    def _editor_closed(self) -> None:
        self._totals.refresh()

    @on(RowEditor.Submitted, "RowEditor")
    def _value_typed(self, event: RowEditor.Submitted) -> None:
        event.stop()
        try:
            asked = self.tree_table.typed(self._editor.value_of, event.value)
        except UserError as error:
            self._editor.refuse(str(error))
            self._totals.refresh()
        else:
            self._editor.close()
            self.post_message(asked)

    @on(Input.Changed, "FilterInput")
    def _filter_live(self, event: Input.Changed) -> None:
        event.stop()
        if event.value.strip() != self.tree_table.filter_text:
            self.tree_table.set_filter(event.value)

    @on(Input.Submitted, "FilterInput")
    def _close_filter(self, event: Input.Submitted) -> None:
        event.stop()
        self.screen.set_focus(self.tree_table)
        self.remove_class("-typing")

    @on(ModuleTree.FilterChanged)
    def _show_filter(self) -> None:
        self.set_class(bool(self.tree_table.filter_text), "-filtered")
        self._filter.refresh()
