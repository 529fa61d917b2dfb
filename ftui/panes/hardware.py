"""The machine."""

from textual.app import ComposeResult
from textual.widget import Widget

from ftui.panes.pane import Pane
from ftui.widgets.lines import Lines
from ftui.workspace import Workspace


class HardwarePane(Pane):
    number = 3
    title = "Hardware"

    def compose(self) -> ComposeResult:
        yield Lines()

    @property
    def target(self) -> Widget:
        return self.query_one(Lines)

    def update(self, workspace: Workspace) -> None:
        pass
