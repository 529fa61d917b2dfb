"""Where the panes stand: two or three columns, or one pane at a time."""

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.widget import Widget

from ftui.panes.pane import Pane

WIDE, HIGH = 100, 30
"""Cells from which on there are columns."""
VERY_WIDE, VERY_HIGH = 160, 40
"""Cells from which on the configuration has a place of its own."""


class Body(Container):
    """Columns where there is room; else, or when zoomed, only the active pane.

    The active pane is the one that was focused last: it stays so while a prompt or a menu has the
    keys. Style sheets see the class `-single` here, and `-active` on the pane.
    """

    def __init__(self, panes: Sequence[Pane], active: Pane) -> None:
        super().__init__(id="body")
        self.panes = panes
        self.active = active
        self.zoomed = False
        self._arranged: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        by_id = {pane.id: pane for pane in self.panes}
        self._arrange()  # before there are styles that a later change would have to work out again
        with Horizontal(id="columns", classes="holder"):
            with Vertical(id="left", classes="holder"):
                yield by_id["model"]
                yield by_id["modules"]
            with Vertical(id="right", classes="holder"):
                with Horizontal(id="top", classes="holder"):
                    yield by_id["plots"]
                    yield by_id["configuration"]
                with Horizontal(id="below", classes="holder"):
                    yield by_id["hardware"]
                    yield by_id["runs"]

    def activate(self, pane: Pane) -> None:
        """Make a pane the active one, and give it the keys."""
        self.active = pane
        self._arrange()
        self.screen.set_focus(pane.target)

    def toggle_zoom(self) -> None:
        self.zoomed = not self.zoomed
        self._arrange()

    def note_focus(self, widget: Widget) -> bool:
        """Follow the focus; whether another pane became active."""
        pane = next((p for p in self.panes if p in widget.ancestors_with_self), None)
        if pane is None or pane is self.active:
            return False
        self.active = pane
        self._arrange()
        return True

    def on_mount(self) -> None:
        self._arrange()  # now that the holders are there

    def on_resize(self, event: events.Resize) -> None:
        self._arrange()

    @property
    def narrow(self) -> bool:
        """Whether there is room for one pane only."""
        return self.app.size.width < WIDE or self.app.size.height < HIGH

    @property
    def single(self) -> bool:
        """Whether one pane has all the place."""
        return self.zoomed or self.narrow

    @property
    def visible_panes(self) -> list[Pane]:
        """Those that are on the screen."""
        if self.single:
            return [self.active]
        hidden = "plots" if self.active.id == "configuration" else "configuration"
        return [pane for pane in self.panes if self._roomy or pane.id != hidden]

    @property
    def _roomy(self) -> bool:
        return self.app.size.width >= VERY_WIDE and self.app.size.height >= VERY_HIGH

    def _arrange(self) -> None:
        visible = self.visible_panes
        arranged = (visible, self.active, self.single, self.is_mounted)
        if arranged == self._arranged:
            return
        self._arranged = arranged
        self.set_class(self.single, "-single")
        for pane in self.panes:
            pane.display = pane in visible
            pane.set_class(pane is self.active, "-active")
        for holder in self.query(".holder"):
            holder.display = any(holder in pane.ancestors for pane in visible)
