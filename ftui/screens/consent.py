"""Code of the user's own runs once they have said so: they are asked once a file and session."""

from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding, BindingType

from engine.contract.tasks import TASKS
from engine.contract.text import plain
from ftui.screens.sheet import Sheet
from ftui.widgets.prompt import Prompt
from ftui.workspace import Workspace


def with_consent(workspace: Workspace, prompt: Prompt, go_on: Callable[[], object]) -> None:
    """Go on at once, or where the model is code of the user's own, once that may run."""
    file = workspace.code_to_allow
    if file is None:
        go_on()
        return

    def allow() -> None:
        workspace.allow(file)
        go_on()

    prompt.confirm(f"Run the code in {plain(file)}? It may do all that you may.", allow)


class SampleSheet(Sheet[None]):
    """It shows samples as the model takes them, one of which may have all the room.

    Code of the user's own may have to run for them: that waits for a key.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "r",
            "run_code",
            "Run",
            id="samples.run",
            tooltip="Run the model's own code, for samples as it takes them",
        ),
        Binding(
            "escape,ctrl+g",
            "back",
            "Back",
            id="samples.back",
            tooltip="The others again, where a sample is alone; else close this",
        ),
    ]

    def __init__(self, workspace: Workspace, prompt: Prompt) -> None:
        super().__init__()
        self.workspace, self.prompt = workspace, prompt

    @property
    def refusal(self) -> str:
        """What to press before samples can be shown; empty where they can."""
        config = self.workspace.config
        if self.workspace.code_to_allow is None or TASKS[config.task].of_texts:
            return ""  # texts are shown as they are, whatever the model makes of them
        return f"r runs {plain(config.model.name)}, your own code, for samples as it takes them."

    def show_samples(self) -> object:
        """Show those that are to be seen now, or the refusal."""
        raise NotImplementedError

    def show_others(self) -> bool:
        """Give the sample that is alone its part of the room again; False where none is."""
        raise NotImplementedError

    def action_back(self) -> None:
        if not self.show_others():
            self.dismiss()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self.refusal) if action == "run_code" else True

    def action_run_code(self) -> None:
        with_consent(self.workspace, self.prompt, self.show_samples)
