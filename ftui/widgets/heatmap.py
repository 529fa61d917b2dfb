"""A confusion matrix as a heat map: a row a true class, a column what was said."""

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from engine.contract.predictions import Cell, Counts
from engine.contract.text import plain
from ftui.format import short

_SHADES = " ░▒▓█"
_PLAIN_SHADES = " .:*#"
_LONGEST_NAME = 20
_LONGEST_HEADING = 6
_MOST_HEAT = 0.85
"""Of a cell's colour, so that its figure can be read on it."""


def _key(id_: str, keys: str, action: str, tooltip: str) -> Binding:
    return Binding(keys, action, show=False, tooltip=tooltip, id=f"heat.{id_}")


class HeatMap(ScrollView, can_focus=True):
    """Names and headings stay where they are as the cells scroll; the cursor is on one cell.

    The share of its true class is a cell's heat; its figure is a count or that share, so that
    nothing is told by colour alone.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        _key("up", "up,k", "move(-1,0)", "Go to the true class above"),
        _key("down", "down,j", "move(1,0)", "Go to the true class below"),
        _key("left", "left,h", "move(0,-1)", "Go to the guess on the left"),
        _key("right", "right,l", "move(0,1)", "Go to the guess on the right"),
        _key("page-up", "pageup", "page(-1)", "Go up a page"),
        _key("page-down", "pagedown", "page(1)", "Go down a page"),
        _key("first", "home,g", "move(-1000000,-1000000)", "Go to the first cell"),
        _key("last", "end,G", "move(1000000,1000000)", "Go to the last cell"),
        _key("open", "enter", "open", "The samples of the cell"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("heat--right", "heat--wrong", "heat--name", "heat--cursor")
    }
    ALLOW_SELECT = False
    DEFAULT_CSS = """
    HeatMap {
        width: 1fr; height: 1fr; background: $background;
        scrollbar-size-vertical: 1; scrollbar-size-horizontal: 1;
        & > .heat--right { background: $success; }
        & > .heat--wrong { background: $error; }
        & > .heat--name { color: $foreground-muted; }
        & > .heat--cursor { color: $block-cursor-foreground; background: $block-cursor-background; }
        &:ansi > .heat--name { color: ansi_default; text-style: dim; }
        &:ansi > .heat--cursor { color: ansi_default; text-style: reverse; }
    }
    """

    class Moved(Message):
        """The cursor is on another cell."""

    class Opened(Message):
        """Enter, or a second click, on a cell."""

    def __init__(self, *, ascii_only: bool) -> None:
        super().__init__()
        self._shades = _PLAIN_SHADES if ascii_only else _SHADES
        self._ascii = ascii_only
        self._names: list[str] = []
        self._there: list[int] = []
        self._cells: dict[tuple[int, int], int] = {}
        self.shares = False
        """Whether cells tell shares of their true class, in percent, instead of counts."""
        self.cursor = (0, 0)
        """True class and guess."""

    def show(self, classes: Sequence[str], counts: Sequence[Counts], cells: Sequence[Cell]) -> None:
        """Replace the matrix, of the same kind of thing: the cursor stays."""
        self._names = [plain(name, _LONGEST_NAME) for name in classes]
        self._there = [x.there for x in counts]
        self._cells = {(cell.true, cell.said): cell.times for cell in cells}
        self._fit()

    def toggle_shares(self) -> None:
        self.shares = not self.shares
        self._fit()

    @property
    def share(self) -> float | None:
        """Of the true class under the cursor that is in the cell there; None where it has none."""
        there = self._there[self.cursor[0]] if self._there else 0
        return self.times / there if there else None

    @property
    def times(self) -> int:
        """What the cell under the cursor counts."""
        return self._cells.get(self.cursor, 0)

    @property
    def text(self) -> str:
        """What is seen of it."""
        return "\n".join(self.render_line(y).text.rstrip() for y in range(self.size.height))

    def render_line(self, y: int) -> Strip:
        width, base = self.scrollable_content_region.width, self.visual_style.rich_style
        row = y - 1 + self.scroll_offset.y
        if not self._names or row >= len(self._names):
            return Strip.blank(width, base)
        left = self.scroll_offset.x
        cells = [
            self._heading(column) if y == 0 else self._cell(row, column)
            for column in range(left // self._width, self._end(left + width))
        ]
        name = "true \\ said" if y == 0 else self._names[row]
        muted = self.get_component_rich_style("heat--name", partial=True)
        beside = Strip(cells).crop(left % self._width, left % self._width + width - self._beside)
        named = Segment(set_cell_size(_cut(name, self._beside - 1), self._beside), muted)
        line = Strip.join([Strip([named]), beside])
        return line.apply_style(base).adjust_cell_length(width, base)

    def on_click(self, event: events.Click) -> None:
        at = event.get_content_offset(self)
        if at is None or at.y == 0 or at.x < self._beside:
            return
        row = at.y - 1 + self.scroll_offset.y
        column = (at.x - self._beside + self.scroll_offset.x) // self._width
        if (row, column) == self.cursor:
            self.action_open()
        elif max(row, column) < len(self._names):
            self._select(row, column)

    def action_move(self, down: int, right: int) -> None:
        row, column = self.cursor
        self._select(row + down, column + right)

    def action_page(self, pages: int) -> None:
        self.action_move(pages * max(1, self.size.height - 2), 0)

    def action_open(self) -> None:
        if self._names:
            self.post_message(self.Opened())

    def _select(self, row: int, column: int) -> None:
        last = len(self._names) - 1
        self.cursor = max(0, min(row, last)), max(0, min(column, last))
        self._reveal()
        self.refresh()
        self.post_message(self.Moved())

    def _reveal(self) -> None:
        """Scroll until the cursor is seen beside the names and below the headings."""
        row, column = self.cursor
        seen = self.scrollable_content_region
        x, y = self.scroll_offset
        end = (column + 1) * self._width - (seen.width - self._beside)
        x = min(max(x, end), column * self._width)
        y = min(max(y, row + 1 - (seen.height - 1)), row)
        self.scroll_to(x, y, animate=False)

    def _fit(self) -> None:
        """Make the cells as wide as what stands in them."""
        count = len(self._names)
        figures = [len(self._figure(*place)) for place in self._cells]
        longest = max(map(cell_len, self._names), default=0)
        self._beside = 1 + max(len("true \\ said"), longest)
        self._width = 2 + max([3, min(longest, _LONGEST_HEADING), *figures])
        self.virtual_size = Size(self._beside + count * self._width, count + 1)
        self.cursor = tuple(max(0, min(at, count - 1)) for at in self.cursor)  # type: ignore[assignment]
        self.refresh()

    def _end(self, right: int) -> int:
        return min(len(self._names), -(-right // self._width))

    def _heading(self, column: int) -> Segment:
        name = _cut(self._names[column], self._width - 1)
        style = self.get_component_rich_style("heat--name", partial=True)
        return Segment(
            set_cell_size(f"{' ' * (self._width - 1 - cell_len(name))}{name}", self._width), style
        )

    def _cell(self, row: int, column: int) -> Segment:
        share = self._share(row, column)
        figure = self._figure(row, column)
        style, shade = self._heat(share, row == column)
        if (row, column) == self.cursor:
            style = self.get_component_rich_style("heat--cursor", partial=True)
        return Segment(f"{shade}{figure:>{self._width - 2}} ", style)

    def _figure(self, row: int, column: int) -> str:
        times = self._cells.get((row, column), 0)
        if not times:
            return "·" if not self._ascii else "."
        return f"{100 * self._share(row, column):.0f}%" if self.shares else short(times)

    def _share(self, row: int, column: int) -> float:
        return self._cells.get((row, column), 0) / max(1, self._there[row])

    def _heat(self, share: float, right: bool) -> tuple[Style, str]:
        """A cell's background; where there are 16 colours or ASCII only, a shade before it."""
        colour = self.get_component_styles("heat--right" if right else "heat--wrong").background
        if self._ascii or colour.ansi is not None:
            return Style(), self._shades[-(-int(share * 1000) * (len(self._shades) - 1) // 1000)]
        ground: Color = self.background_colors[1].blend(colour, _MOST_HEAT * share)
        text = ground.get_contrast_text(0.9)
        return Style.from_color((ground + text).rich_color, ground.rich_color), " "


def _cut(name: str, width: int) -> str:
    return name if cell_len(name) <= width else set_cell_size(name, width - 1) + "…"
