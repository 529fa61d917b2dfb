"""What all panes have: a number, a title, a border, and one way to be told what to show."""

from typing import ClassVar

from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget

from ftui.workspace import Workspace


class Pane(Vertical):
    """A pane shows what `update` hands it and posts messages; it changes nothing itself."""

    number: ClassVar[int]
    title: ClassVar[str]
    offers: ClassVar[frozenset[str]] = frozenset()
    """Actions of what is in the pane that the palette offers beside the pane's own."""

    class Resized(Message):
        """There is another width to fit into, or a first one."""

    def __init__(self, *, ascii_only: bool = False) -> None:
        super().__init__(id=type(self).__name__.removesuffix("Pane").lower(), classes="pane")
        self.ascii_only = ascii_only
        self.border_title = f"{self.number} {self.title}"

    def update(self, workspace: Workspace) -> None:
        """Show how things are now; called only while visible and often, so compare first."""
        raise NotImplementedError

    def keep_up(self, workspace: Workspace) -> None:
        """Do what others wait for; called in place of `update` while hidden."""

    def on_resize(self) -> None:
        self.post_message(self.Resized())

    @property
    def target(self) -> Widget:
        """The widget that keys go to when the pane is chosen."""
        return self
