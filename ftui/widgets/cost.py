"""The lines below a plan that say what a step of it costs."""

import asyncio

from textual import work
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from engine.contract.cost import Cost
from engine.contract.errors import UserError
from engine.contract.text import plain
from ftui import costs
from ftui.inspecting import ModelInspector
from ftui.workspace import Workspace

_SECONDS_AFTER_AN_EDIT = 0.2


class CostLines(Static):
    """Asks whenever what is asked has changed, a moment after the last change of several."""

    DEFAULT_CSS = """
    CostLines {
        display: none; height: auto; max-height: 6; padding: 0 1; color: $foreground-muted;
    }
    """

    class Answered(Message):
        """There is something else to show."""

    def __init__(self, inspector: ModelInspector) -> None:
        super().__init__(markup=False)
        self._inspector = inspector
        self._asked: costs.Question | None = None
        self._answered: costs.Question | None = None
        self._cost: Cost | None = None
        self._before: Cost | None = None
        self._wrong = ""
        self.text = ""
        """What is to be read in it."""

    def update_from(self, workspace: Workspace) -> None:
        """Ask where the plan or anything else is new, and show what is known."""
        asked = costs.question(workspace)
        if asked != self._asked:
            self._asked, self._wrong = asked, ""
            if asked is None:
                self._cost = self._before = self._answered = None
            self._ask(asked)
        self._show(workspace)

    def _show(self, workspace: Workspace) -> None:
        waits = ["Working out what a step costs ..."] if self._asked else []
        said, alarming, stale = [self._wrong] if self._wrong else waits, False, False
        if self._cost is not None and self._answered is not None and not self._wrong:
            measured = costs.Measured.of(workspace)
            said = costs.lines(self._cost, self._before, measured, self._answered.config)
            alarming = costs.tight(self._cost, measured)
            if stale := self._asked != self._answered:
                said[0] = f"before: {said[0]}"
        text = "\n".join(said)
        if text != self.text:
            self.text = text
            first, *rest = said or [""]
            top = Content.styled(first, "$text-warning") if alarming else Content(first)
            whole = Content("\n").join([top, *map(Content, rest)])
            self.update(whole.stylize("dim") if stale else whole)
            self.display = bool(text)

    @work(exclusive=True, group="cost")
    async def _ask(self, asked: costs.Question | None) -> None:
        """A newer question takes this one's place."""
        if asked is None:
            return
        await asyncio.sleep(_SECONDS_AFTER_AN_EDIT)
        try:
            found = await self._inspector.cost(asked.config, asked.classes, asked.pieces)
        except UserError as error:
            self._wrong = f"No estimate of costs: {plain(error)}"
        else:
            self._before = self._cost if asked.differs_by_plan(self._answered) else None
            self._cost, self._answered = found, asked
        self.post_message(self.Answered())
