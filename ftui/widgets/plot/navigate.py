"""Where a person looks: the steps in view, and the cursor."""

import numpy as np

from ftui.widgets.plot import window
from ftui.widgets.plot.look import Shown, nearest
from ftui.widgets.plot.window import Window


class Navigator:
    """Zooms, pans and moves the cursor over what is shown."""

    def __init__(self) -> None:
        self.shown = Shown()
        self.window: Window | None = None
        """None: all steps, following the newest."""
        self.cursor: float | None = None
        """A step that has a point; None: no cursor."""
        self.home: float | None = None
        """Where the cursor appears; None: at the last point in view."""

    def show(self, shown: Shown) -> None:
        """Look at other points; a view or a cursor that has nothing any more is given up."""
        self.shown = shown
        first, last = shown.extent or (np.inf, -np.inf)
        if self.window is not None and (self.window.end < first or self.window.start > last):
            self.window = None
        first, last = shown.reach or (np.inf, -np.inf)
        if self.cursor is not None and not first <= self.cursor <= last:
            self.cursor = None

    @property
    def view(self) -> Window | None:
        """The steps in view; None: there are no points."""
        return self.window or self.shown.every

    def zoom(self, factor: float, around: float | None = None) -> None:
        """Put `factor` of the span in view; `around`, the cursor or the middle stays in place."""
        view, every = self.view, self.shown.every
        if view is None or every is None:
            return
        if around is None and self.cursor is not None and view.holds(self.cursor):
            around = self.cursor
        middle = (view.start + view.end) / 2
        self.window = window.zoom(view, every, middle if around is None else around, factor)

    def pan(self, share: float) -> None:
        """Move by a share of the view; without effect where all is in view."""
        if self.window is not None and (every := self.shown.every) is not None:
            self.window = window.pan(self.window, every, share)

    def reset(self) -> None:
        self.window = None

    def first(self) -> None:
        if (reach := self.shown.reach) is not None:
            self._go(reach[0])

    def last(self) -> None:
        if (reach := self.shown.reach) is not None:
            self._go(reach[1])

    def move(self, columns: int, of: int) -> None:
        """Move the cursor by columns of the `of` in view, but at least to the next point.

        Without a cursor, one appears, and does not move yet.
        """
        view = self.view
        if view is None:
            return
        if self.cursor is None:
            self._appear(view)
            return
        before = self.cursor
        self.go(before + columns * view.span / max(1, of))
        if (self.cursor - before) * columns <= 0:
            self._go(self._next(before, columns))

    def go(self, step: float) -> None:
        """Put the cursor on the point nearest to `step`."""
        main = max(self.shown.own, key=lambda s: len(s.x), default=None)
        index = None if main is None else nearest(main, step)
        if main is not None and index is not None:
            self._go(float(main.x[index]))

    def toggle(self) -> None:
        """Cursor off, or on."""
        if self.cursor is not None:
            self.cursor = None
        elif (view := self.view) is not None:
            self._appear(view)

    def _appear(self, view: Window) -> None:
        self.go(view.end if self.home is None else self.home)

    def _next(self, step: float, direction: int) -> float:
        """The nearest point of any series on one side; `step` itself where there is none."""
        found = []
        for series in self.shown.own:
            if direction > 0:
                found += series.x[np.searchsorted(series.x, step, "right") :][:1].tolist()
            else:
                found += series.x[: np.searchsorted(series.x, step)][-1:].tolist()
        return (min if direction > 0 else max)(found, default=step)

    def _go(self, step: float) -> None:
        """The view comes along."""
        self.cursor = step
        if self.window is not None and (every := self.shown.every) is not None:
            self.window = window.reveal(self.window, every, step)
