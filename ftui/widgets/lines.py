"""Lines of styled text, of which only the cells that changed are drawn again."""

import textwrap
from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import RenderOptions

from ftui.widgets.changes import changed_region

Line = Content | str


def _key(id_: str, keys: str, action: str, label: str, tooltip: str) -> Binding:
    return Binding(keys, action, label, show=False, tooltip=tooltip, id=f"lines.{id_}")


class Lines(ScrollView, can_focus=True):
    """Text from outside is safe here: nothing is read as markup.

    With `cursor`, one line is picked by keys or mouse, and `enter` tells `Opened`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        _key("up", "up,k", "move(-1)", "Up", "Go up a line"),
        _key("down", "down,j", "move(1)", "Down", "Go down a line"),
        _key("page-up", "pageup", "page(-1)", "Page up", "Go up a page"),
        _key("page-down", "pagedown", "page(1)", "Page down", "Go down a page"),
        _key("first", "home,g", "move(-1000000)", "First", "Go to the first line"),
        _key("last", "end,G", "move(1000000)", "Last", "Go to the last line"),
        _key("open", "enter", "open", "Open", "Open what the cursor is on"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"lines--cursor"}
    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Lines {
        width: 1fr; height: 1fr; overflow-x: hidden; overflow-y: auto;
        scrollbar-size-vertical: 1; scrollbar-gutter: stable;
        & > .lines--cursor { background: $block-cursor-blurred-background; }
        &:focus > .lines--cursor {
            color: $block-cursor-foreground; background: $block-cursor-background;
        }
        &:ansi:focus > .lines--cursor {
            color: ansi_default; background: ansi_default; text-style: reverse;
        }
    }
    """

    class Opened(Message):
        """Enter, or a click, on a line."""

        def __init__(self, lines: "Lines", index: int) -> None:
            super().__init__()
            self.lines = lines
            self.index = index

        @property
        def control(self) -> "Lines":
            return self.lines

    def __init__(self, *, cursor: bool = False, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.cursor: int | None = 0 if cursor else None
        self._has_cursor = cursor
        self._lines: list[Line] = []
        self._remark = ""

    def show(self, lines: Sequence[Line]) -> None:
        """Replace the text."""
        old, new = self._lines, list(lines)
        self._remark = ""
        if self._has_cursor and self.cursor is None:  # after a remark
            self.cursor = 0
            self.refresh()
        if len(old) != len(new):
            self._lines = new
            self.virtual_size = Size(0, len(new))
            if self.cursor is not None:
                self.cursor = max(0, min(self.cursor, len(new) - 1))
            self.refresh()
            return
        top = self.scroll_offset.y
        shown = range(top, min(len(new), top + self.size.height))
        before = {
            row: self.render_line(row - top) for row in shown if not _same(old[row], new[row])
        }
        self._lines = new
        for row, strip in before.items():
            if region := changed_region(strip, self.render_line(row - top), row - top):
                self.refresh(region)

    def say(self, words: str) -> None:
        """Show a remark in place of lines, wrapped; nothing in it can be picked."""
        wrapped = textwrap.wrap(words, max(1, self.room), break_on_hyphens=False)
        self.show([Content.styled(line, ".muted") for line in wrapped])
        self.cursor, self._remark = None, words
        self.refresh()

    def on_resize(self) -> None:
        if self._remark:  # hidden, it had no room
            self.say(self._remark)

    @property
    def room(self) -> int:
        """Cells of a line."""
        return self.scrollable_content_region.width  # `size` counts the scroll bar in

    @property
    def text(self) -> str:
        """All of it, without styles."""
        return "\n".join(line if isinstance(line, str) else line.plain for line in self._lines)

    def select(self, index: int) -> None:
        """Put the cursor on a line."""
        if self.cursor is not None and self._lines:
            self._refresh_row(self.cursor)
            self.cursor = max(0, min(index, len(self._lines) - 1))
            self._refresh_row(self.cursor)
            self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False)

    def render_line(self, y: int) -> Strip:
        row, width = y + self.scroll_offset.y, self.room
        style = self.visual_style
        if row >= len(self._lines) or not width:
            return Strip.blank(width, style.rich_style)
        line = self._lines[row]
        content = (Content(line) if isinstance(line, str) else line).first_line
        content = content.truncate(width, ellipsis=True)
        options = RenderOptions(self._get_style, {"text_wrap": "nowrap"})
        strip = content.render_strips(width, 1, style, options)[0]
        strip = strip.adjust_cell_length(width, style.rich_style)
        if row != self.cursor:
            return strip
        cursor = self.get_component_rich_style("lines--cursor")
        if self.has_focus:
            cursor += Style(dim=False)
        else:  # the line keeps its own colours
            cursor = Style(bgcolor=cursor.bgcolor)
        return Strip(Segment.apply_style(strip, post_style=cursor), width)

    def on_click(self, event: events.Click) -> None:
        at = event.get_content_offset(self)
        row = -1 if at is None else at.y + self.scroll_offset.y
        if self.cursor is None or not 0 <= row < len(self._lines):
            return
        if row == self.cursor:
            self.action_open()
        self.select(row)

    def action_move(self, rows: int) -> None:
        if self.cursor is None:
            self.scroll_relative(y=rows, animate=False)
        else:
            self.select(self.cursor + rows)

    def action_page(self, pages: int) -> None:
        self.action_move(pages * max(1, self.size.height - 1))

    def action_open(self) -> None:
        if self.cursor is not None and self._lines:
            self.post_message(self.Opened(self, self.cursor))

    def _refresh_row(self, row: int) -> None:
        self.refresh(Region(0, row - self.scroll_offset.y, self.size.width, 1))


def _same(a: Line, b: Line) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return isinstance(a, str) and isinstance(b, str) and a == b
    return a.is_same(b)
