"""What a new run is to do otherwise than the one that it is a fork of."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.fields import Field, all_fields
from engine.contract.text import plain
from engine.runs.fork import OF_THE_PARENT
from ftui.screens.sheet import Sheet
from ftui.settings import LR, changed, overrides, value_at, value_text
from ftui.widgets.form import FieldForm, FieldList, Note


class ForkScreen(Sheet[list[str] | None]):
    """The config in force at a step of a run; it ends with the `key=value` that were changed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "start", "Start", id="fork.start", tooltip="Start the fork"),
        Binding(
            "escape,q,ctrl+g", "leave", "Leave", id="fork.leave", tooltip="Start no fork after all"
        ),
    ]
    DEFAULT_CSS = """
    ForkScreen {
        & > Vertical { height: 100%; }
        & #fork-help { height: 3; }
    }
    """

    def __init__(self, name: str, step: int, config: Config) -> None:
        super().__init__()
        self._title = f"Fork {plain(name)} at step {step:,}"
        self._parents, self._config = config, config
        self.form = FieldForm(all_fields())
        self._help = Static(id="fork-help", markup=False)

    def compose(self) -> ComposeResult:
        box = Vertical(self.form, self._help)
        box.border_title = self._title
        box.border_subtitle = "s starts it  enter edits  escape leaves"
        yield box

    def on_mount(self) -> None:
        self._show()
        self.screen.set_focus(self.form.list)
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        rows = self.form.list.rows
        self.form.list.select(next(n for n, row in enumerate(rows) if _key(row) == LR))

    def _show(self) -> None:
        notes = {}
        for override in overrides(self._parents, self._config):
            key = override.partition("=")[0]
            before = plain(value_text(value_at(self._parents, key)), 40)
            notes[key] = Note(f"instead of {before}", ".accent")
        self.form.show(self._config, _refusal, notes)

    @on(FieldList.Moved)
    def _explain(self, event: FieldList.Moved) -> None:
        field = event.field
        what = (f"{field.key}  ", ".strong"), field.help, (f"\n{field.expected}", ".muted")
        self._help.update(Content.assemble(*what))

    @on(FieldForm.Entered)
    def _entered(self, event: FieldForm.Entered) -> None:
        event.stop()
        try:
            self._config = changed(self._config, event.key, event.text)
        except UserError as error:
            event.form.answer(str(error))
        else:
            event.form.answer(None)
            self._show()

    def action_start(self) -> None:
        self.dismiss(overrides(self._parents, self._config))

    def action_leave(self) -> None:
        self.dismiss(None)


def _key(row: Field | str) -> str:
    return row if isinstance(row, str) else row.key


def _refusal(key: str) -> str:
    return f"A fork has its parent's model, so {key} stays." if key in OF_THE_PARENT else ""
