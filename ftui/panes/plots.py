"""The curves of a run."""

from textual.app import ComposeResult
from textual.widget import Widget

from ftui.panes.pane import Pane
from ftui.widgets.lines import Lines
from ftui.workspace import Workspace


class PlotsPane(Pane):
    number = 4
    title = "Plots"

    def compose(self) -> ComposeResult:
        yield Lines()

    @property
    def target(self) -> Widget:
        return self.query_one(Lines)

    def update(self, workspace: Workspace) -> None:
        pass
