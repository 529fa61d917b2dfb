"""The panes' names on one line, where only one pane has room."""

from collections.abc import Sequence
from typing import ClassVar

from textual.content import Content
from textual.message import Message
from textual.widget import Widget


class TabLine(Widget):
    """`1 Model  2 Modules ...`; on a narrow line only the active one has its name."""

    DEFAULT_CSS = "TabLine { height: 1; width: 1fr; padding: 0 1; }"
    COMPONENT_CLASSES: ClassVar[set[str]] = {"tabs--active"}
    ALLOW_SELECT = False

    class Chosen(Message):
        """A tab was clicked."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self, names: Sequence[str], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._names = names
        self._active = 1

    def show(self, active: int) -> None:
        """Mark the pane of that number."""
        if active != self._active:
            self._active = active
            self.refresh()

    def render(self) -> Content:
        long = self._line(short=False)
        return long if long.cell_length <= self.size.width else self._line(short=True)

    def _line(self, short: bool) -> Content:
        tabs = []
        for number, name in enumerate(self._names, 1):
            active = number == self._active
            words = f"{number} {name}" if active or not short else f"{number}"
            text = f"[{words}]" if active else f" {words} "
            style = ".tabs--active" if active else ".muted"
            tabs.append(Content.styled(text, style))
        return Content("").join(tabs)

    def on_click(self, event: object) -> None:
        x = getattr(event, "x", 0) - self.styles.padding.left
        ends = 0
        long = self._line(short=False).cell_length <= self.size.width
        for number, name in enumerate(self._names, 1):
            named = long or number == self._active
            ends += len(f" {number} {name} " if named else f" {number} ")
            if x < ends:
                self.post_message(self.Chosen(number))
                return
