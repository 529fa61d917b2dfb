"""A value that is typed in a row of the tree, where it stands."""

from collections.abc import Collection
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Offset
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from ftui.widgets.module_tree.asking import Value
from ftui.widgets.module_tree.node import Node
from ftui.widgets.module_tree.words import called

_WIDTH = 10
_WORDS: dict[Value, str] = {
    "scale": "learning-rate multiplier of {}, such as 0.1",
    "rank": "rank of the adapters of {}, such as 8; 0: none",
}


class RowEditor(Input):
    """Hidden until it is opened; leaving it cancels."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Set", id="row.set", tooltip="Take what was typed"),
        Binding("escape,ctrl+g", "close", "Cancel", id="row.cancel", tooltip="Leave it as it is"),
    ]
    DEFAULT_CSS = f"""
    RowEditor {{ layer: edit; position: absolute; display: none; width: {_WIDTH}; }}
    """

    class Closed(Message):
        """Nothing is typed any more."""

    def __init__(self) -> None:
        super().__init__(compact=True)
        self.value_of: Value = "scale"
        self.words = ""
        """What is typed here, or what was wrong with it."""
        self._before: Widget | None = None

    def open(self, value: Value, text: str, end: Offset, nodes: Collection[Node]) -> None:
        """Have a value of some modules typed, in the cells that end at `end`."""
        self.value_of, self.words = value, _WORDS[value].format(called(nodes))
        self.styles.offset = (max(0, end.x - _WIDTH), end.y)
        self.value = text
        self.display = True
        self._before = self.screen.focused
        self.screen.set_focus(self)  # at once: the next key may be typed already
        self.action_select_all()

    def refuse(self, sentence: str) -> None:
        """Say what is wrong with what was typed."""
        self.words = sentence

    def close(self) -> None:
        if not self.display:
            return
        focused = self.has_focus
        self.display = False
        if focused and self._before is not None:
            self.screen.set_focus(self._before)
        self.post_message(self.Closed())

    def action_close(self) -> None:
        self.close()

    def on_blur(self, event: events.Blur) -> None:
        if self.app.app_focus:
            self.close()
