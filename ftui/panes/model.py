"""Which model it is."""

from textual.app import ComposeResult
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from engine.contract.text import plain
from ftui.panes.pane import Pane
from ftui.widgets.lines import Lines
from ftui.widgets.module_tree.words import count_text
from ftui.workspace import Workspace


class ModelPane(Pane):
    """The chosen model in a few lines."""

    number = 1
    title = "Model"

    class Chosen(Message):
        """A model of the catalogue was picked: the screen has it described."""

        def __init__(self, name: str, weights: str = "DEFAULT") -> None:
            super().__init__()
            self.name = name
            self.weights = weights

    def compose(self) -> ComposeResult:
        yield Lines()

    @property
    def target(self) -> Widget:
        return self.query_one(Lines)

    def update(self, workspace: Workspace) -> None:
        config = workspace.config
        name = plain(config.model.name)
        if not name:
            self.query_one(Lines).show([Content.styled("No model is chosen.", ".muted")])
            return
        lines: list[Content | str] = [Content.styled(name, ".strong")]
        weights = workspace.state.weights if workspace.state else ""
        lines.append(Content.styled(f"weights {plain(weights or config.model.weights)}", ".muted"))
        if model := workspace.model:
            side = model.preprocessing.image_size
            lines.append(f"{count_text(model.total_parameters)} parameters, {side} px")
        self.query_one(Lines).show(lines)
