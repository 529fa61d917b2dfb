"""The module tree: a table of modules that a person freezes and thaws, drawn a line at a time.

The widget never changes a plan. It asks (see `asking`), and shows what `apply_plan` tells it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Offset, Region, Size
from textual.message import Message
from textual.strip import Strip

from ftui.widgets.module_tree import draw
from ftui.widgets.module_tree.asking import Asking, Value
from ftui.widgets.module_tree.keys import BINDINGS, EDIT_ACTIONS
from ftui.widgets.module_tree.node import ModuleRow, Modules, Node, OwnPlan
from ftui.widgets.module_tree.rows import VisibleRows
from ftui.widgets.module_tree.search import find
from ftui.widgets.module_tree.selection import Selection, outermost
from ftui.widgets.module_tree.styles import CSS, PARTS, PREFIX

_EDITS = {action.partition("(")[0] for action in EDIT_ACTIONS}


class ModuleTree(Asking, can_focus=True):
    """Rows of mark, name, type, parameters, trainable share and learning-rate multiplier."""

    BINDINGS: ClassVar[list[BindingType]] = list[BindingType](BINDINGS)
    COMPONENT_CLASSES: ClassVar[set[str]] = {PREFIX + part for part in PARTS}
    ALLOW_SELECT = False
    DEFAULT_CSS = CSS

    class CursorMoved(Message):
        """The cursor stands on another module."""

        def __init__(self, path: str) -> None:
            super().__init__()
            self.path = path

    class FilterRequested(Message):
        """A person wants to type a filter."""

    class FilterChanged(Message):
        """Another filter holds, or none."""

    class SelectionChanged(Message):
        """Other modules are selected, or none."""

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.glyphs = draw.ASCII if ascii_only else draw.UNICODE
        self.empty_text = "No model yet: choose one to see its modules."
        self.filter_text = ""
        self._strips: dict[tuple[Node, bool], Strip] = {}
        self._base = Style()
        self._styles: dict[tuple[str, ...], Style] = {}
        self._pending: Collection[str] = frozenset()
        self._load(Modules([]))

    # What is shown

    def set_model(self, rows: Sequence[ModuleRow], name: str = "model") -> None:
        """Show another model, all frozen until `apply_plan`; no rows: the empty state."""
        self._load(Modules(rows, name))
        self._pending = frozenset()
        self.filter_text = ""
        self._filter_changed(self.modules.root)

    def apply_plan(self, plan: Mapping[str, OwnPlan]) -> None:
        """Show a plan, by module path; a module that is left out is frozen."""
        with_old = self._screen_strips()
        had_extras = self.modules.has_extras
        self.modules.apply(plan)
        if self.modules.has_extras != had_extras:
            self._fit()
            self.refresh()
        self._refresh_changed(with_old)

    def set_pending(self, paths: Collection[str]) -> None:
        """Show these modules as waiting for the worker, and no others."""
        with_old = self._screen_strips()
        self._pending = frozenset(paths)
        self._refresh_changed(with_old)

    def set_filter(self, text: str) -> None:
        """Show only what matches (see `search.find`) and its ancestors; "" shows all again."""
        kept = self.cursor_node
        self.filter_text = text.strip()
        if not self.filter_text:
            self._rows.widen()
            self._rows.reveal(kept or self.modules.root)
        else:
            self._rows.narrow(find(self.filter_text, self.modules.nodes))
            if kept is None or not self._rows.is_match(kept):
                kept = next(iter(self._rows.matches), None)
        self._filter_changed(kept)

    def select(self, path: str) -> None:
        """Put the cursor on a module, opening what hides it. Raises `KeyError` for no module."""
        node = self.modules.by_path[path]
        self._rows.reveal(node)
        self._rows_changed(node)

    @property
    def cursor_node(self) -> Node | None:
        """The module under the cursor; None where there are no rows."""
        return self._rows.rows[self._cursor] if 0 <= self._cursor < len(self._rows.rows) else None

    @property
    def is_empty(self) -> bool:
        """Whether there is no model."""
        return len(self.modules.nodes) == 1 and not self.modules.root.own

    @property
    def filter_counts(self) -> tuple[int, int]:
        """How many modules match the filter, and how many there are."""
        return len(self._rows.matches), len(self.modules.nodes)

    @property
    def selected_count(self) -> int:
        """How many rows are selected."""
        return len(self._selected)

    @property
    def targets(self) -> list[Node]:
        return outermost(self._selected or ([self.cursor_node] if self.cursor_node else []))

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "drop_selection":
            return not self._selection.is_empty
        if action in ("next_match", "clear_filter"):
            return bool(self.filter_text)
        if action in ("expand", "filter", "select_range", "tag") or action in _EDITS:
            return not self.is_empty
        return super().check_action(action, parameters)

    def action_move(self, rows: int) -> None:
        self._move_to(self._cursor + rows)

    def action_page(self, pages: int) -> None:
        self._move_to(self._cursor + pages * max(1, self.size.height - 2))

    def action_first(self) -> None:
        self._move_to(0)

    def action_last(self) -> None:
        self._move_to(len(self._rows.rows) - 1)

    def action_close_or_parent(self) -> None:
        node = self.cursor_node
        if node is None:
            return
        if self._rows.is_open(node) and not self._rows.is_leaf(node):
            self.action_expand()
        elif node.parent is not None:
            self._move_to(self._rows.row_of(node.parent))

    def action_open_or_child(self) -> None:
        node = self.cursor_node
        if node is None or self._rows.is_leaf(node):
            return
        if self._rows.is_open(node):
            self._move_to(self._cursor + 1)
        else:
            self.action_expand()

    def action_expand(self) -> None:
        """Open the node under the cursor, or close it."""
        node = self.cursor_node
        if node is None or self._rows.is_leaf(node):
            return
        change = self._rows.collapse if self._rows.is_open(node) else self._rows.expand
        change(self._cursor)
        self._rows_changed(node)

    def action_expand_all(self) -> None:
        kept = self.cursor_node
        self._rows.expand_all()
        self._rows_changed(kept)

    def action_collapse_all(self) -> None:
        kept = self.cursor_node
        self._rows.collapse_all()
        self._rows_changed(kept)

    def action_select_range(self) -> None:
        """Begin a range at the cursor, or drop the one there is."""
        self._selection.anchor = None if self._selection.anchor else self.cursor_node
        self._select()

    def action_tag(self) -> None:
        """Select the module under the cursor, or no longer, and go on to the next row."""
        if self.cursor_node is not None:
            self._selection.tagged ^= {self.cursor_node}
            self._select()
            self._move_to(self._cursor + 1)

    def action_drop_selection(self) -> None:
        self._selection = Selection()
        self._select()

    def place_of(self, value: Value) -> Offset:
        """Where in the widget a value in the row of the cursor ends; it is typed there."""
        columns = self._columns
        end = draw.MARK_END + columns.name
        if value == "scale":
            end += columns.type + columns.parameters + columns.share + columns.lr
        return Offset(end, 1 + self._cursor - self.scroll_offset.y)

    def action_filter(self) -> None:
        self.post_message(self.FilterRequested())

    def action_clear_filter(self) -> None:
        self.set_filter("")

    def action_next_match(self, step: int) -> None:
        matches, node = self._rows.matches, self.cursor_node
        if not matches or node is None:
            return
        ahead = [m for m in matches if (m.index - node.index) * step > 0]
        found = (ahead or matches)[0 if step > 0 else -1]
        self._rows.reveal(found)
        self._rows_changed(found)

    # Mouse

    def on_click(self, event: events.Click) -> None:
        at = event.get_content_offset(self)
        row = -1 if at is None or at.y == 0 else at.y - 1 + self.scroll_offset.y
        if at is None or self.is_empty or not 0 <= row < len(self._rows.rows):
            return
        self._move_to(row)
        node = self._rows.rows[row]
        if at.x < draw.MARK_END:
            self.action_toggle_training()
        elif at.x < draw.MARK_END + draw.name_start(node, self._columns):
            self.action_expand()

    # Drawing

    def render_lines(self, crop: Region) -> list[Strip]:
        if self.rich_style != self._base:  # a translucent background follows the parent's
            self._forget_styles()
            self._base = self.rich_style
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        width = self._width
        if width != self._fitted:
            self._fit()
        row = y - 1 + self.scroll_offset.y
        if self.is_empty or not self._rows.rows:
            text = self.empty_text if self.is_empty else "No module matches the filter."
            return self._strip([draw.Span(f" {text}" if y == 0 else "", ("empty",))], width)
        if y == 0:
            return self._strip(draw.header(self._columns, self.glyphs), width)
        if row >= len(self._rows.rows):
            return Strip.blank(width, self._base)
        return self._row_strip(row)

    def on_resize(self) -> None:
        self._scroll_to_cursor()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._forget_styles()

    def _forget_styles(self) -> None:
        self._styles.clear()
        self._strips.clear()

    def _row_strip(self, row: int) -> Strip:
        node, cursor = self._rows.rows[row], row == self._cursor
        strip = self._strips.get((node, cursor))
        if strip is None:
            look = draw.Look(
                leaf=self._rows.is_leaf(node),
                opened=self._rows.is_open(node),
                match=self._rows.is_match(node),
                pending=node.path in self._pending,
                cursor=cursor,
                selected=node in self._selected,
            )
            spans = draw.row(node, self.modules, look, self._columns, self.glyphs)
            over = "cursor" if cursor else "selected" if look.selected else ""
            strip = self._strip(spans, self._fitted, over)
            self._strips[node, cursor] = strip
        return strip

    def _strip(self, spans: Sequence[draw.Span], width: int, over: str = "") -> Strip:
        """Style the spans, `over` above all, and bring them to `width` cells."""
        above = (over,) if over else ()
        segments = [Segment(s.text, self._style(*s.parts, *above)) for s in spans if s.text]
        return Strip(segments).adjust_cell_length(width, self._style(*above))

    def _style(self, *parts: str) -> Style:
        """The widget's own style with the parts' over it: line-API segments inherit nothing."""
        style = self._styles.get(parts)
        if style is None:
            style = self._styles[parts] = sum(map(self._part_style, parts), start=self._base)
        return style

    def _part_style(self, part: str) -> Style:
        own = self.get_component_rich_style(PREFIX + part, partial=True)
        full = self.get_component_rich_style(PREFIX + part)  # translucent colours are mixed
        color, back = own.color and full.color, own.bgcolor and full.bgcolor
        return own + Style(color=color, bgcolor=back)

    # Upkeep

    def _load(self, modules: Modules) -> None:
        self.modules = modules
        self._rows = VisibleRows(modules.nodes)
        self._cursor = 0
        self._selection = Selection()
        self._selected: set[Node] = set()
        self._widest = draw.widest(modules)
        self._fit()

    @property
    def _width(self) -> int:
        return self.scrollable_content_region.width  # `size` counts the scroll bar in

    def _fit(self) -> None:
        self._strips.clear()
        self._fitted = self._width
        self._columns = draw.fit(self._fitted, self._widest, self.modules.has_extras)

    def _filter_changed(self, cursor: Node | None) -> None:
        self._rows_changed(cursor)
        self.post_message(self.FilterChanged())
        self.refresh_bindings()

    def _rows_changed(self, cursor: Node | None) -> None:
        self._cursor = self._rows.row_of(cursor) if cursor else 0
        self._strips.clear()
        self.virtual_size = Size(0, 0 if self.is_empty else len(self._rows.rows) + 1)
        self._scroll_to_cursor()
        self._select()
        self.refresh()
        self._tell_cursor()

    def _move_to(self, row: int) -> None:
        row = max(0, min(row, len(self._rows.rows) - 1))
        if row == self._cursor:
            return
        self._refresh_row(self._cursor)
        self._cursor = row
        self._refresh_row(row)
        self._scroll_to_cursor()
        if self._selection.anchor is not None:
            self._select()
        self._tell_cursor()

    def _select(self) -> None:
        """Show what is selected now."""
        selected = self._selection.nodes(self._rows, self._cursor)
        if selected != self._selected:
            with_old = self._screen_strips()
            self._selected = selected
            self._refresh_changed(with_old)
            self.post_message(self.SelectionChanged())
            self.refresh_bindings()

    def _tell_cursor(self) -> None:
        if self.cursor_node is not None:
            self.post_message(self.CursorMoved(self.cursor_node.path))

    def _scroll_to_cursor(self) -> None:
        top, body = self.scroll_offset.y, max(1, self.size.height - 1)
        last_top = max(0, len(self._rows.rows) - body)
        to = min(max(top, self._cursor - body + 1), self._cursor, last_top)
        if to != top:
            self.scroll_to(y=to, animate=False, force=True)

    def _refresh_row(self, row: int) -> None:
        self.refresh_line(row + 1)  # below the header

    def _screen_strips(self) -> dict[int, Strip]:
        first = self.scroll_offset.y
        last = min(first + self.size.height - 1, len(self._rows.rows))
        return {row: self._row_strip(row) for row in range(first, last)} if self.is_attached else {}

    def _refresh_changed(self, before: Mapping[int, Strip]) -> None:
        self._strips.clear()
        for row, strip in before.items():
            if self._row_strip(row) != strip:
                self._refresh_row(row)
