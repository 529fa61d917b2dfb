"""A box over whatever was shown."""

from typing import ClassVar, TypeVar

from textual.screen import ModalScreen

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
