"""A learning rate or a batch size is looked for, and its curve grows while one watches."""

from contextlib import aclosing
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from engine.contract.errors import UserError
from engine.contract.text import plain
from ftui.finding import Search
from ftui.inspecting import ModelInspector
from ftui.screens.sheet import Sheet
from ftui.widgets.plot import Plot

_SECONDS_BETWEEN_LOOKS = 0.25
_TITLES = {"optimizer.lr": "Learning rate", "data.batch_size": "Batch size"}
_NOTHING = "Nothing is suggested yet; left and right pick a value that was tried."


class FinderScreen(Sheet[str | None]):
    """It ends with the value that was taken, or None; the search ends with it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter",
            "take",
            "Take",
            id="finder.take",
            tooltip="Set it in the draft: what is under the cursor, or what is suggested",
        ),
        Binding(
            "escape,q,ctrl+g",
            "leave",
            "Leave",
            id="finder.leave",
            tooltip="Stop the search and leave the draft as it is",
        ),
    ]
    DEFAULT_CSS = """
    FinderScreen {
        & > Vertical { width: 100%; height: 100%; }
        & Static { height: auto; max-height: 5; }
        & Plot { margin-top: 1; }
    }
    """

    def __init__(self, search: Search, inspector: ModelInspector, ascii_only: bool) -> None:
        super().__init__()
        self.search = search
        self._inspector = inspector
        self._words = Static(markup=False)
        self.plots = [Plot(mode="ascii" if ascii_only else "braille") for _ in search.figures]
        self._changed = True

    def compose(self) -> ComposeResult:
        box = Vertical(self._words, *self.plots)
        box.border_title = _TITLES[self.search.key]
        yield box

    def on_mount(self) -> None:
        super().on_mount()
        for plot in self.plots:
            plot.smoothing = self.search.smoothing
        self.set_focus(self.plots[0])
        self.set_interval(_SECONDS_BETWEEN_LOOKS, self._show)
        self._show()
        self._look()

    @property
    def text(self) -> str:
        """What is to be read in it."""
        return "\n".join([str(self._words.content), *(plot.text for plot in self.plots)])

    @property
    def value(self) -> str:
        """What would be taken now; empty where nothing is known yet."""
        cursors = [plot.cursor for plot in self.plots if plot.cursor is not None]
        return self.search.text(cursors[0]) if cursors else self.search.value

    @work(exclusive=True)
    async def _look(self) -> None:
        search = self.search
        try:
            async with aclosing(self._inspector.find(search.sought)) as findings:
                async for finding in findings:
                    search.apply(finding)
                    self._changed = True
        except UserError as error:
            search.error = str(error)
            self._changed = True

    def _show(self) -> None:
        takes = f"enter takes {self.value}  " if self.value else ""
        keys = f"{takes}left/right picks  escape leaves"
        box = self.query_one(Vertical)
        if box.border_subtitle != keys:  # setting it draws the whole box again
            box.border_subtitle = keys
        if not self._changed:
            return
        self._changed = False
        search = self.search
        style = ".bad" if search.error else ""
        lines = [Content.styled(search.words, style)]
        lines += [Content.styled(plain(words, 300), ".warn") for words in search.warnings]
        self._words.update(Content("\n").join(lines))
        for plot, figure in zip(self.plots, search.figures, strict=True):
            plot.show([figure.series], search.markers, "", figure.span, search.scale)
            for marker in search.markers:
                plot.begin_at(marker.x)

    def action_take(self) -> None:
        if self.value:
            if self.search.then:
                self.app.notify(self.search.then, markup=False)
            self.dismiss(self.value)
        else:
            self.notify(_NOTHING, severity="warning", markup=False)

    def action_leave(self) -> None:
        self.dismiss(None)
