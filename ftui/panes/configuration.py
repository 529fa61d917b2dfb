"""What the run is asked to do."""

from textual.app import ComposeResult
from textual.widget import Widget

from engine.contract import toml
from engine.contract.text import plain
from ftui.panes.pane import Pane
from ftui.widgets.lines import Lines
from ftui.workspace import Workspace


class ConfigurationPane(Pane):
    """The text of the open run's config, or of the draft's."""

    number = 6
    title = "Configuration"

    def compose(self) -> ComposeResult:
        yield Lines()

    @property
    def target(self) -> Widget:
        return self.query_one(Lines)

    def update(self, workspace: Workspace) -> None:
        text = toml.dump(workspace.config)
        self.query_one(Lines).show([plain(line) for line in text.splitlines()])
