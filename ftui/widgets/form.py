"""The config's fields as a form: one line a field, grouped by table, edited in place."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple

import msgspec
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.suggester import Suggester, SuggestFromList
from textual.widgets import Input, Static

from engine.contract.config import Config
from engine.contract.fields import Field
from engine.contract.tasks import unread_tables
from engine.contract.text import plain
from ftui.paths import PathSuggester
from ftui.settings import is_changed, value_at, value_text
from ftui.widgets.lines import Line, Lines

_ROOM = 2
"""Lines below the last field, where the sentence on a wrong value finds room."""
_KEY = 19
"""Cells before the value."""
_RULE = 60
"""Cells of a table's line."""


Refusal = Callable[[str], str]
"""Says why a key can't be edited; empty where it can."""


class Note(NamedTuple):
    """A remark beside a field's value."""

    text: str
    style: str = ".muted"


class FieldList(Lines):
    """The lines; the cursor passes over the names of tables."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Edit", id="form.edit", tooltip="Type another value"),
        Binding("space,right,l", "cycle(1)", "Next", id="form.next", tooltip="The next choice"),
        Binding(
            "left,h", "cycle(-1)", "Back", show=False, id="form.back", tooltip="The choice before"
        ),
        Binding("d", "reset", "Default", id="form.reset", tooltip="Back to the default value"),
    ]

    class Moved(Message):
        """The cursor is on a field, perhaps another one."""

        def __init__(self, field: Field) -> None:
            super().__init__()
            self.field = field

    class Cycled(Message):
        """The next choice of the field under the cursor is wanted, or the one before."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    class Reset(Message):
        """The field under the cursor is to have its default."""

    def __init__(self, fields: Sequence[Field]) -> None:
        super().__init__(cursor=True)
        self._fields = fields
        self.rows: list[Field | str] = []
        self.show_for(set())

    def show_for(self, unread: set[str]) -> None:
        """Leave these tables out; the cursor stays on its field, or goes to the first."""
        at = self.rows[self.cursor or 0] if self.rows else None
        self.rows = []
        for field in self._fields:
            if field.table in unread:
                continue
            if field.table and field.table not in self.rows:
                self.rows.append(field.table)
            self.rows.append(field)
        self.cursor = self.rows.index(at) if at in self.rows else 0

    @property
    def field(self) -> Field:
        """That under the cursor."""
        row = self.rows[self.cursor or 0]
        assert isinstance(row, Field)
        return row

    def select(self, index: int) -> None:
        down = index >= (self.cursor or 0)
        index = max(0, min(index, len(self.rows) - 1))
        if isinstance(self.rows[index], str):
            index += 1 if down else -1
        super().select(index)
        if index and isinstance(self.rows[index - 1], str):
            self.scroll_to_region(Region(0, index - 1, 1, 2), animate=False)
        self.post_message(self.Moved(self.field))

    def action_cycle(self, by: int) -> None:
        self.post_message(self.Cycled(by))

    def action_reset(self) -> None:
        self.post_message(self.Reset())


class FieldInput(Input):
    """Where a value is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Set", id="field.set", tooltip="Take the value"),
        Binding(
            "escape,ctrl+g", "cancel", "Cancel", id="field.cancel", tooltip="Keep the old value"
        ),
        Binding("tab", "complete", "Complete", id="field.complete", tooltip="Take the suggestion"),
    ]

    class Cancelled(Message):
        """The value stays as it was."""

    def action_cancel(self) -> None:
        self.post_message(self.Cancelled())

    def action_complete(self) -> None:
        self.action_end()
        self.action_cursor_right()

    def on_blur(self, event: events.Blur) -> None:
        if self.app.app_focus:
            self.action_cancel()


class FieldForm(Container):
    """Shows a config and asks for changes of it, which whoever handles `Entered` makes."""

    DEFAULT_CSS = """
    FieldForm {
        layers: base edit; width: 1fr; height: 1fr;
        & > FieldList { layer: base; }
        & > #field-editor {
            layer: edit; position: absolute; display: none; width: 1fr; height: auto;
            & > Static { color: $text-error; background: $panel; height: auto; }
            & > Static.-empty { display: none; }
        }
    }
    """

    class Entered(Message):
        """A field is to be set to a text; `FieldForm.answer` says how that went."""

        def __init__(self, form: "FieldForm", key: str, text: str) -> None:
            super().__init__()
            self.form = form
            self.key = key
            self.text = text

    def __init__(self, fields: Sequence[Field], *, ascii_only: bool = False) -> None:
        super().__init__()
        self.list = FieldList(fields)
        self.choices: dict[str, tuple[str, ...]] = {f.key: f.choices for f in fields if f.choices}
        """Values that a key cycles through."""
        self._input = FieldInput(compact=True)
        self._wrong = Static(classes="-empty", markup=False)
        self._editor = Vertical(self._input, self._wrong, id="field-editor")
        self._config: Config | None = None
        self._refusal: Refusal = lambda _: ""
        self._notes: Mapping[str, Note] = {}
        self._rule = "-" if ascii_only else "─"

    def compose(self) -> ComposeResult:
        yield self.list
        yield self._editor

    @property
    def editing(self) -> bool:
        return bool(self._editor.display)

    @property
    def wrong(self) -> str:
        """The sentence on the value that was refused; empty where none was."""
        return str(self._wrong.content)

    def show(self, config: Config, refusal: Refusal, notes: Mapping[str, Note]) -> None:
        """Show the fields of a config that its task reads."""
        if self._config is None or config.task != self._config.task:
            self.list.show_for(unread_tables(config.task))
        self._config, self._refusal, self._notes = config, refusal, notes
        lines: list[Line] = [self._row(row, config, notes) for row in self.list.rows]
        self.list.show([*lines, *[""] * _ROOM])

    def on_resize(self, event: events.Resize) -> None:
        if self._config is not None:
            self.show(self._config, self._refusal, self._notes)

    def answer(self, wrong: str | None) -> None:
        """What became of `Entered`: None took it, a sentence says why not."""
        if wrong is None:
            self._close()
            return
        if not self.editing:
            self._open(self.list.field)
        self._wrong.update(wrong)
        self._wrong.remove_class("-empty")

    def _row(self, row: Field | str, config: Config, notes: Mapping[str, Note]) -> Content:
        if isinstance(row, str):
            width = min(_RULE, self.size.width - 2)
            return Content.styled(f"{self._rule * 2} {row} ".ljust(width, self._rule), ".muted")
        value = value_at(config, row.key)
        changed = is_changed(row, value)
        shown = plain(value_text(value)) or "not set"
        note = notes.get(row.key, Note(""))
        return Content.assemble(
            ("* " if changed else "  ", ".accent"),
            (row.key.rpartition(".")[2].ljust(_KEY - 2), "" if changed else ".muted"),
            (shown, ".strong" if changed else ".muted" if shown == "not set" else ""),
            (f"  {note.text}" if note.text else "", note.style),
        )

    # Editing

    @on(Lines.Opened)
    def _opened(self, event: Lines.Opened) -> None:
        event.stop()
        if self._may_edit():
            self._open(self.list.field)

    def _open(self, field: Field) -> None:
        assert self._config is not None
        self._wrong.update("")
        self._wrong.add_class("-empty")
        self._input.suggester = self._suggester(field.key)
        self._input.value = value_text(value_at(self._config, field.key))
        row = (self.list.cursor or 0) - self.list.scroll_offset.y
        if row > self.list.size.height - 1 - _ROOM:
            self.list.scroll_relative(y=_ROOM, animate=False)
            row -= _ROOM
        self._editor.styles.offset = (_KEY, row)
        self._editor.styles.width = max(10, self.list.room - _KEY)
        self._editor.display = True
        self.screen.set_focus(self._input)  # at once: the next key may be typed already
        self._input.action_end()

    def _suggester(self, key: str) -> Suggester | None:
        if key == "data.path":
            return PathSuggester()
        if key == "model.weights":
            return PathSuggester({".safetensors", ".pth", ".pt", ".bin", ".ckpt"})
        return SuggestFromList(self.choices[key]) if key in self.choices else None

    @on(FieldInput.Cancelled)
    def _close(self) -> None:
        if self.editing:
            focused = self._input.has_focus
            self._editor.display = False
            if focused:
                self.screen.set_focus(self.list)

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        event.stop()
        self._enter(event.value)

    @on(FieldList.Cycled)
    def _cycle(self, event: FieldList.Cycled) -> None:
        field, config = self.list.field, self._config
        choices = self.choices.get(field.key)
        if not choices or config is None or not self._may_edit():
            return
        now = value_text(value_at(config, field.key))
        at = choices.index(now) if now in choices else -max(0, event.by)
        self._enter(choices[(at + event.by) % len(choices)])

    @on(FieldList.Reset)
    def _reset(self) -> None:
        field = self.list.field
        if field.default is msgspec.NODEFAULT:
            self.notify(f"{field.key} has no default.", severity="warning", markup=False)
        elif self._may_edit():
            self._enter(json.dumps(field.default))

    def _enter(self, text: str) -> None:
        self.post_message(self.Entered(self, self.list.field.key, text))

    def _may_edit(self) -> bool:
        why_not = self._refusal(self.list.field.key)
        if why_not:
            self.notify(why_not, severity="warning", markup=False)
        return not why_not
