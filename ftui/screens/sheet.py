"""A box over whatever was shown."""

from abc import abstractmethod
from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from ftui.widgets.lines import Lines

_SECONDS_BETWEEN_LOOKS = 0.25
Result = TypeVar("Result")


class Sheet(ModalScreen[Result]):
    """What is in it stands in one `Vertical`, whose border says what it is and how to leave it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"strong", "muted", "accent", "warn", "bad"}
    DEFAULT_CSS = """
    Sheet {
        align: center middle;
        & > Vertical {
            width: 80; max-width: 100%; height: auto; max-height: 100%;
            border: heavy $primary; background: $background; padding: 0 1;
            border-title-color: $primary; border-title-style: bold;
            border-subtitle-color: $foreground-muted;
        }
        &.-ascii > Vertical { border: ascii $primary; }
        & Lines { background: $background; }
    }
    """

    def on_mount(self) -> None:
        self.set_class(self.app.screen_stack[0].has_class("-ascii"), "-ascii")


class FollowingSheet(Sheet[None]):
    """Lines that follow the run while they are shown."""

    DEFAULT_CSS = "FollowingSheet Lines { height: auto; max-height: 100%; }"

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title
        self._lines = Lines()

    def compose(self) -> ComposeResult:
        box = Vertical(self._lines)
        box.border_title, box.border_subtitle = self._title, "escape closes"
        yield box

    def on_mount(self) -> None:
        self.screen.set_focus(self._lines)
        self.call_after_refresh(self._show)
        self.set_interval(_SECONDS_BETWEEN_LOOKS, self._show)

    @property
    def text(self) -> str:
        """All of it."""
        return self._lines.text

    @abstractmethod
    def _show(self) -> None:
        """Put what is to be seen now into `_lines`."""
