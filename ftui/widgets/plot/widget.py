"""The plot widget: numpy to characters, and only the cells that changed are drawn again."""

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from ftui.widgets.changes import changed_region
from ftui.widgets.plot.keys import BINDINGS
from ftui.widgets.plot.look import Look, Mode, Row, Shown
from ftui.widgets.plot.navigate import Navigator
from ftui.widgets.plot.picture import Picture, draw, text_of
from ftui.widgets.plot.series import STEPS, Floats, Marker, Scale, Series
from ftui.widgets.plot.smooth import Smoother
from ftui.widgets.plot.window import Window

STYLE_KEYS = ("primary", "secondary", "accent", "success", "warning", "error", "foreground")
_PREFIX = "plot--"
_PARTS = ("title", "readout", "notice", "axis", "grid", "marker", "cursor", "empty")
_SMOOTHINGS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99)


class Plot(Widget, can_focus=True):
    """Curves over steps, with a cursor, zoom, a log axis and smoothing.

    With all steps in view it follows the newest; zoomed in, it stays where it is.
    """

    BINDINGS: ClassVar[list[BindingType]] = list[BindingType](BINDINGS)
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(_PREFIX + part for part in _PARTS),
        *(f"{_PREFIX}{kind}-{key}" for kind in ("series", "ghost") for key in STYLE_KEYS),
    }
    ALLOW_SELECT = False
    DEFAULT_CSS = (
        """
    Plot {
        width: 1fr; height: 1fr;
        & > .plot--title { text-style: bold; }
        & > .plot--readout, & > .plot--notice, & > .plot--axis, & > .plot--empty {
            color: $foreground-muted;
        }
        & > .plot--grid { color: $foreground 15%; }
        & > .plot--marker { color: $foreground 60%; }
        & > .plot--cursor { color: $foreground; text-style: bold; }
    """
        + "".join(
            f"& > .plot--series-{key} {{ color: ${key}; }}"
            f"& > .plot--ghost-{key} {{ color: ${key} 40%; }}"
            for key in STYLE_KEYS
        )
        + """
    }
    Plot:ansi {
        & > .plot--readout, & > .plot--notice, & > .plot--axis, & > .plot--empty,
        & > .plot--marker {
            color: ansi_default; text-style: dim;
        }
        & > .plot--grid { color: ansi_bright_black; text-style: dim; }
    """
        + "".join(
            f"& > .plot--ghost-{key} {{ color: ${key}; text-style: dim; }}" for key in STYLE_KEYS
        )
        + "}"
    )

    log_y: reactive[bool] = reactive(False, repaint=False, init=False)
    smoothing: reactive[float] = reactive(0.0, repaint=False, init=False)
    """The weight of the past, 0 to 0.99."""
    mode: reactive[Mode] = reactive("braille", repaint=False, init=False)

    def __init__(self, *, mode: Mode = "braille", id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.set_reactive(Plot.mode, mode)
        self._navigator = Navigator()
        self._smoothers: dict[str, Smoother] = {}
        self._picture = Picture()
        self._drawn_size = Size(0, 0)
        self._strips: dict[int, Strip] = {}
        """The rows of the picture that were asked for, as they were last drawn."""
        self._part_styles: dict[str, Style] = {}

    def show(
        self,
        series: Sequence[Series],
        markers: Sequence[Marker] = (),
        title: str = "",
        steps: tuple[float, float] | None = None,
        scale: Scale = STEPS,
    ) -> int:
        """Replace what is shown; only cells that changed are drawn again. Returns how many.

        `steps`, the first and the last, are in view even where there are no points, so that plots
        of the same run align. `scale` says what x is, where that is no step.
        """
        self._navigator.show(Shown(tuple(series), tuple(markers), title, steps, scale))
        return self._redraw()

    @property
    def text(self) -> str:
        """What is shown, without styles."""
        return text_of(self._picture.rows)

    @property
    def window(self) -> Window | None:
        """The steps that a person zoomed in on; None: all, following the newest."""
        return self._navigator.window

    @property
    def cursor(self) -> float | None:
        """The step under the cursor."""
        return self._navigator.cursor

    def begin_at(self, x: float) -> None:
        """The cursor will appear there, and not at the end."""
        self._navigator.home = x

    # Keys

    def validate_smoothing(self, smoothing: float) -> float:
        return max(0.0, min(smoothing, 0.99))

    def watch_log_y(self) -> None:
        self._redraw()

    def watch_smoothing(self) -> None:
        self._redraw()

    def watch_mode(self) -> None:
        self._redraw()

    def action_toggle_log(self) -> None:
        self.log_y = not self.log_y

    def action_smooth(self, step: int) -> None:
        """Go to the next of a few fixed weights."""
        ahead = [s for s in _SMOOTHINGS if (s - self.smoothing) * step > 1e-9]
        if ahead:
            self.smoothing = ahead[0 if step > 0 else -1]

    def action_zoom(self, factor: float) -> None:
        self._navigator.zoom(factor)
        self._redraw()

    def action_pan(self, direction: int) -> None:
        self._navigator.pan(direction / 4)
        self._redraw()

    def action_reset(self) -> None:
        self._navigator.reset()
        self._redraw()

    def action_move(self, columns: int) -> None:
        self._navigator.move(columns, self._picture.columns)
        self._redraw()

    def action_first(self) -> None:
        self._navigator.first()
        self._redraw()

    def action_last(self) -> None:
        self._navigator.last()
        self._redraw()

    def action_toggle_cursor(self) -> None:
        self._navigator.toggle()
        self._redraw()

    # Mouse

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, 0.5)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 2.0)

    def on_click(self, event: events.Click) -> None:
        if (step := self._step_at(event)) is not None:
            self._navigator.go(step)
            self._redraw()

    def _wheel(self, event: events.MouseEvent, factor: float) -> None:
        event.stop()
        self._navigator.zoom(factor, self._step_at(event))
        self._redraw()

    def _step_at(self, event: events.MouseEvent) -> float | None:
        """The step under the mouse; None: it isn't over the curves."""
        at, view, picture = event.get_content_offset(self), self._navigator.view, self._picture
        if at is None or view is None or not 0 <= at.x - picture.left < picture.columns:
            return None
        return view.start + view.span * (at.x - picture.left) / (picture.columns - 1)

    # Drawing

    def render_line(self, y: int) -> Strip:
        if self.size != self._drawn_size:
            self._draw()
        rows = self._picture.rows
        if y >= len(rows):
            return Strip.blank(self.size.width)
        if y not in self._strips:
            self._strips[y] = self._strip(rows[y])
        return self._strips[y]

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._part_styles.clear()
        self._strips.clear()

    def _redraw(self) -> int:
        """Refresh the cells that changed. A size that changed is drawn by `render_line`."""
        if not self.size or self.size != self._drawn_size:
            self.refresh()
            return self.size.area
        before, strips = self._picture.rows, self._strips
        self._draw()
        regions = []
        for y, row in enumerate(self._picture.rows):
            if y not in strips or row == before[y]:
                continue
            old, strips[y] = strips[y], self._strip(row)
            region = changed_region(old, strips[y], y)
            regions += [region] if region else []
        self._strips = strips
        if regions:
            self.refresh(*regions)
        return sum(region.area for region in regions)

    def _draw(self) -> None:
        self._strips = {}
        look = Look(self.mode, self.log_y, self.smoothing, self.window, self.cursor)
        width, height = self._drawn_size = self.size
        self._picture = draw(self._navigator.shown, look, width, height, self._smoothed)

    def _smoothed(self, series: Series) -> Floats:
        smoother = self._smoothers.setdefault(series.name, Smoother())
        return smoother.smooth(series.y, self.smoothing)

    def _strip(self, row: Row) -> Strip:
        return Strip([Segment(s.text, self._style(s.part)) for s in row], self.size.width)

    def _style(self, part: str) -> Style:
        """The part's style over the widget's own: line-API segments inherit nothing."""
        style = self._part_styles.get(part)
        if style is None:
            own = self.get_component_rich_style(_PREFIX + part, partial=True)
            full = self.get_component_rich_style(_PREFIX + part)  # translucent colours are mixed
            mixed = Style(color=own.color and full.color, bgcolor=own.bgcolor and full.bgcolor)
            style = self._part_styles[part] = self.rich_style + own + mixed
        return style
