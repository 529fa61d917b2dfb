"""One row of the table as spans of text, each with the component classes that style it.

Nothing here knows of colours or of Textual, so tests read rows as they read on the screen.
"""

from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from ftui.widgets.module_tree.node import Mark, Modules, Node
from ftui.widgets.module_tree.words import count_text, lr_text, note_text, share_text


class Span(NamedTuple):
    """A piece of a row; `parts` are component names without their prefix, the last one wins."""

    text: str
    parts: tuple[str, ...] = ()


class Glyphs(NamedTuple):
    """The signs of the tree, one cell each."""

    cursor: str
    selected: str
    cursor_selected: str
    marks: dict[Mark, str]
    pending: str
    opened: str
    closed: str
    guide: str
    ellipsis: str


UNICODE = Glyphs(
    cursor="▌",
    selected="┃",
    cursor_selected="█",
    marks={Mark.NONE: " ", Mark.FROZEN: "○", Mark.TRAINABLE: "●", Mark.MIXED: "◐"},
    pending="…",
    opened="▾",
    closed="▸",
    guide="│",
    ellipsis="…",
)
ASCII = Glyphs(
    cursor=">",
    selected="+",
    cursor_selected="#",
    marks={Mark.NONE: " ", Mark.FROZEN: ".", Mark.TRAINABLE: "*", Mark.MIXED: "o"},
    pending="?",
    opened="-",
    closed="+",
    guide="|",
    ellipsis="~",
)

MARK_END = 3
"""Cells before the name: cursor and selection, mark, pending sign."""
_INDENT = 2
_NAME_LEAST = 6  # cells that a name keeps however deep it stands
_NAME_BESIDE = 3  # and beside a note
_NAME_GOOD = 28  # a longer name doesn't drive out the type
_TYPE_LEAST = 9
_PARAMETERS, _SHARE, _LR = 8, 7, 8  # with the gap of two cells before each
_NOTE = 9  # ` (lora 8)` behind the name


class Columns(NamedTuple):
    """Widths in cells; a column of width 0 is not shown. All but the name include their gap."""

    name: int
    step: int
    """Cells of indent a level: fewer where it is narrow."""
    indent: int
    """The most that a row is indented: deeper ones stand no further right."""
    type: int
    parameters: int
    share: int
    lr: int


class Widest(NamedTuple):
    """What the longest texts of a model would like, in cells."""

    name: int
    """With its indent."""
    type: int


def widest(modules: Modules) -> Widest:
    """Of all modules, open or not: columns stay where they are."""
    types = {node.type_name for node in modules.nodes}
    name = max(_INDENT * (node.depth + 1) + cell_len(node.name) for node in modules.nodes)
    return Widest(max(name, len("module")), 2 + max(len("type"), *map(cell_len, types)))


def fit(width: int, widest: Widest, notes: bool = False) -> Columns:
    """Share `width` cells out: type goes first, then learning rate, parameters and share.

    With `notes` there is room behind names for what else a plan does to modules.
    """
    note = _NOTE if notes else 0
    name, type_ = widest.name + note, widest.type
    room = width - MARK_END
    wanted = [_SHARE, _PARAMETERS, _LR]
    least = min(name, 10 + note)
    while wanted and room - sum(wanted) < least:
        wanted.pop()
    share, parameters, lr = wanted + [0] * (3 - len(wanted))
    room = max(0, room - sum(wanted))
    for_type = min(type_, room - min(name, _NAME_GOOD)) if lr else 0
    for_type = for_type if for_type >= min(type_, _TYPE_LEAST) else 0
    given = min(name, room - for_type)
    step = _INDENT if given >= min(name, _NAME_GOOD) else 1
    indent = name if given == name else max(0, given - _INDENT - _NAME_LEAST)
    return Columns(given, step, indent, for_type, parameters, share, lr)


def header(columns: Columns, glyphs: Glyphs) -> list[Span]:
    """The names of the columns."""
    texts = (
        " " * MARK_END,
        _left("module", columns.name, glyphs),
        _gapped("type", columns.type, glyphs),
        _right("params", columns.parameters),
        _right("train", columns.share),
        _right("lr", columns.lr),
    )
    return [Span("".join(texts), ("header",))]


class Look(NamedTuple):
    """How one row stands on the screen."""

    leaf: bool
    opened: bool
    match: bool
    pending: bool
    cursor: bool
    selected: bool = False


def name_start(node: Node, columns: Columns) -> int:
    """Cells of the name's column that indent and expander take: fewer where it is narrow."""
    return min(columns.step * node.depth, columns.indent) + _INDENT


def row(node: Node, modules: Modules, look: Look, columns: Columns, glyphs: Glyphs) -> list[Span]:
    """One module's row; its width is that of the columns together."""
    mark = modules.mark(node)
    state = (mark.value, "pending") if look.pending else (mark.value,)
    indent = name_start(node, columns) - _INDENT
    guides = (glyphs.guide.ljust(columns.step) * node.depth)[:indent]
    expander = " " if look.leaf else glyphs.opened if look.opened else glyphs.closed
    room = columns.name - indent - _INDENT
    note = f" {note_text(node, modules)}".rstrip()
    note = _left(note, min(len(note), room - _NAME_BESIDE), glyphs)
    name = _left(node.name, room - len(note), glyphs)
    bare = name.rstrip()
    total, trainable = modules.total(node), modules.trainable(node)
    numbers = (
        _right(count_text(total) if total else "", columns.parameters),
        _right(share_text(trainable, modules.whole(node)), columns.share),
        _right(lr_text(modules.lr_scale(node)), columns.lr),
    )
    return [
        Span(_bar(look, glyphs), ("bar",)),
        Span(glyphs.marks[mark] + (glyphs.pending if look.pending else " "), state),
        Span(guides, ("guide",)),
        Span(f"{expander} ", ("expander",)),
        Span(bare, (*state, "match") if look.match else state),
        Span(" " * (len(name) - len(bare))),
        Span(note, ("note",)),
        Span(_gapped(node.type_name, columns.type, glyphs), ("type",)),
        Span("".join(numbers), state),
    ]


def _bar(look: Look, glyphs: Glyphs) -> str:
    if look.cursor:
        return glyphs.cursor_selected if look.selected else glyphs.cursor
    return glyphs.selected if look.selected else " "


def _left(text: str, width: int, glyphs: Glyphs) -> str:
    """`text` in exactly `width` cells, shortened where it must be."""
    if width <= 0:
        return ""
    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + glyphs.ellipsis
    return set_cell_size(text, width)


def _gapped(text: str, width: int, glyphs: Glyphs) -> str:
    return "  " + _left(text, width - 2, glyphs) if width else ""


def _right(text: str, width: int) -> str:
    return text.rjust(width) if width else ""
