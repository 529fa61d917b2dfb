"""What a language model said at each evaluation."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from engine.contract.events import TextGenerated
from engine.contract.text import plain
from ftui.screens.sheet import Sheet
from ftui.widgets.lines import Line, Lines
from ftui.workspace import Workspace

_SECONDS_BETWEEN_LOOKS = 0.25
_NARROWEST = 20
_LONGEST = 10_000


class TextsScreen(Sheet[None]):
    """Generated texts that follow the run, the newest first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,T,enter,ctrl+g", "dismiss", "Close", id="texts.close", tooltip="Close")
    ]
    DEFAULT_CSS = "TextsScreen Lines { height: auto; max-height: 100%; }"

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._lines = Lines()
        self._shown: tuple[list[TextGenerated], int] | None = None

    def compose(self) -> ComposeResult:
        box = Vertical(self._lines)
        box.border_title, box.border_subtitle = "Generated texts", "escape closes"
        yield box

    def on_mount(self) -> None:
        self.screen.set_focus(self._lines)
        self.call_after_refresh(self._show)
        self.set_interval(_SECONDS_BETWEEN_LOOKS, self._show)

    @property
    def text(self) -> str:
        """All of it."""
        return self._lines.text

    def _show(self) -> None:
        state, room = self._workspace.state, self._lines.room
        found = list(state.generated) if state else []
        if self._shown != (found, room):
            self._shown = found, room
            self._lines.show(list(told(found, room)))


def told(found: Sequence[TextGenerated], room: int) -> Iterator[Line]:
    """Each text under where the run was, the newest first; what was given is set apart."""
    for said in reversed(found):
        yield Content.styled(f"epoch {said.epoch}, step {said.step:,}", ".muted")
        for style, text in ((".accent", said.prompt), ("", said.text)):
            for line in text.splitlines():
                shown = plain(line, _LONGEST)
                for row in textwrap.wrap(shown, max(_NARROWEST, room)):
                    yield Content.styled(row, style)
        yield Content("")
