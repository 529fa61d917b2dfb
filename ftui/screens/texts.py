"""What a language model said at each evaluation."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from engine.contract.events import TextGenerated
from engine.contract.text import plain
from ftui.screens.sheet import FollowingSheet
from ftui.widgets.lines import Line
from ftui.workspace import Workspace

_NARROWEST = 20
_LONGEST = 10_000


class TextsScreen(FollowingSheet):
    """Generated texts that follow the run, the newest first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,T,enter,ctrl+g", "dismiss", "Close", id="texts.close", tooltip="Close")
    ]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__("Generated texts")
        self._workspace = workspace
        self._shown: tuple[list[TextGenerated], int] | None = None

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
