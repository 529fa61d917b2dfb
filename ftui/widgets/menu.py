"""A short list to pick from, under a line that names it."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import OptionList


class Menu(OptionList):
    """Hidden until it is opened. A line has one colour, so that the picked one can be read."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "Choose", id="menu.choose", tooltip="Choose this line"),
        Binding("j", "cursor_down", "Down", show=False, id="menu.down"),
        Binding("k", "cursor_up", "Up", show=False, id="menu.up"),
    ]
    DEFAULT_CSS = """
    Menu, Menu:focus {
        display: none; height: auto; max-height: 60%; padding: 0;
        border: none; border-top: solid $primary;
        border-title-color: $primary; border-title-style: bold;
        background: $background; background-tint: transparent;
        & > .option-list--option { padding: 0 1; }
    }
    """

    def __init__(self) -> None:
        super().__init__(markup=False)

    def show(self, title: str) -> None:
        """Open it on its first line."""
        self.border_title = f" {title} "
        self.highlighted = 0
        self.display = True
        self.screen.set_focus(self)
