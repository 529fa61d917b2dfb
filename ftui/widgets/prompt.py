"""A question on the bottom line: a value to type, or yes or no."""

from collections.abc import Callable
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input

from engine.contract.errors import UserError
from ftui.widgets.figure import Figure

Answer = Callable[[str], None]
"""Takes what was typed; a `UserError` is shown on the line, which stays open. May ask on."""


class PromptInput(Input):
    """Where a value is typed; it tells of its key."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "OK", id="prompt.ok", tooltip="Take what was typed"),
    ]


class Prompt(Horizontal, can_focus=True):
    """Hidden until something is asked. Leaving it cancels."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "yes", "Yes", id="prompt.yes", tooltip="Yes, do it"),
        Binding("n", "cancel", "No", id="prompt.no", tooltip="No, leave it as it is"),
        Binding(
            "escape,ctrl+g", "cancel", "Cancel", id="prompt.cancel", tooltip="Leave it as it is"
        ),
    ]
    DEFAULT_CSS = """
    Prompt { height: 1; width: 1fr; padding: 0 1; display: none; }
    Prompt > #prompt-label { margin-right: 1; }
    Prompt > Input { width: 24; }
    Prompt > #prompt-error { margin-left: 1; }
    """

    class Closed(Message):
        """The question is gone, answered or not: focus goes back to where it was."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._label = Figure(id="prompt-label")
        self._input = PromptInput(compact=True, id="prompt-input")
        self._error = Figure(id="prompt-error")
        self._answer: Answer | None = None
        self._yes: Callable[[], object] | None = None

    def compose(self) -> ComposeResult:
        yield self._label
        yield self._input
        yield self._error

    def ask(self, label: str, value: str, answer: Answer) -> None:
        """Ask for a value; enter gives it to `answer`."""
        self._answer, self._yes = answer, None
        self._open(f"{label}:")
        self._input.display = True
        self._input.value = value
        self.screen.set_focus(self._input)
        self._input.action_select_all()

    def confirm(self, question: str, yes: Callable[[], object]) -> None:
        """Ask a question that `y` says yes to; any other way out is no."""
        self._answer, self._yes = None, yes
        self._open(f"{question} y/n")
        self._input.display = False
        self.screen.set_focus(self)

    @property
    def text(self) -> str:
        """What is to be read on it; empty while it is hidden."""
        return f"{self._label.text} {self._error.text}".strip() if self.display else ""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._yes is not None if action == "yes" else True

    def action_yes(self) -> None:
        yes = self._yes
        self.action_cancel()
        if yes is not None:
            yes()

    def action_cancel(self) -> None:
        if self.display:
            self.display = False
            self.post_message(self.Closed())

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        event.stop()
        answer = self._answer
        if answer is None:
            return
        try:
            answer(event.value)
        except UserError as error:
            self._error.show(str(error))
        else:
            if self._answer is answer:  # it asked nothing more
                self.action_cancel()

    def on_descendant_blur(self) -> None:
        self._left()

    def on_blur(self, event: events.Blur) -> None:
        self._left()

    def _left(self) -> None:
        self.call_after_refresh(self._cancel_if_left)

    def _cancel_if_left(self) -> None:
        if not self.has_focus_within and self.app.app_focus:
            self.display = False

    def _open(self, label: str) -> None:
        self._label.show(label)
        self._error.show("")
        self.display = True
        self.refresh_bindings()
