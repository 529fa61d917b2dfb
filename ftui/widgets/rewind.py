"""The menu of checkpoints that the open run can go back to."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import OptionList

from engine.contract.errors import UserError
from engine.contract.events import CheckpointSaved, Evaluated
from engine.contract.overfitting import fit_of
from engine.contract.state import RunState
from engine.contract.tasks import TaskWords
from ftui.format import main_figure, number
from ftui.widgets.menu import Menu
from ftui.workspace import Workspace


class RewindMenu(Menu):
    """The newest first, each with what validation said of it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape,backspace,b",
            "close",
            "Close",
            id="rewind.close",
            tooltip="Stay where the run is",
        ),
    ]

    class Chosen(Message):
        """The run is to go back to the checkpoint of a step."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    class Closed(Message):
        """The menu is gone."""

    def __init__(self) -> None:
        super().__init__()
        self._steps: list[int] = []

    def open(self, workspace: Workspace, before: int | None) -> None:
        """Offer the checkpoints; on top of the list or where a look at the run leads.

        That is the newest at or before the step `before`, or before the run began to overfit.
        Raises `UserError` where there is none.
        """
        state, found = workspace.state, workspace.checkpoints
        if state is None or not found:
            raise UserError("There is no checkpoint to go back to yet; w writes one.")
        self._steps = [saved.step for saved in found]
        self.clear_options()
        self.add_options(lines_of(found, state.evaluations, state.task))
        self.show("Rewind: back to a checkpoint")
        if before is None:
            before = _before_overfitting(state)
        if before is not None:
            earlier = (at for at, step in enumerate(self._steps) if step <= before)
            self.highlighted = next(earlier, len(found) - 1)

    def action_close(self) -> None:
        self.display = False
        self.post_message(self.Closed())

    @on(OptionList.OptionSelected)
    def _picked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.action_close()
        self.post_message(self.Chosen(self._steps[event.option_index]))


def lines_of(
    found: Sequence[CheckpointSaved], evaluations: Sequence[Evaluated], task: TaskWords
) -> list[str]:
    """A line a checkpoint, newest first; in a menu, a line has no styles."""
    said = {evaluated.step: evaluated for evaluated in evaluations}
    best = next((saved.step for saved in found if saved.best), None)
    width = len(f"{found[0].step:,}")
    lines = []
    for saved in found:
        words = f"step {saved.step:>{width},}"
        if evaluated := said.get(saved.step):
            words += f"  epoch {evaluated.epoch:<3}  val loss {number(evaluated.loss):<6}"
            words += f"  {main_figure(task, evaluated, 7)}"
        marks = ["newest"] * (saved is found[0]) + ["best"] * (saved.step == best)
        lines.append("  ".join([words, *marks]))
    return lines


def _before_overfitting(state: RunState) -> int | None:
    fit = fit_of(state)
    return fit.best.step if fit and fit.overfits else None
