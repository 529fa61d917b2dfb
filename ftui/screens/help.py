"""All keys, pane by pane, as the bindings themselves tell them."""

import textwrap
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import Screen

from engine.contract.methods import METHODS
from ftui.panes.pane import Pane
from ftui.screens.sheet import Sheet
from ftui.widgets.lines import Line, Lines
from ftui.widgets.prompt import Prompt

_KEYS = 18
"""Cells for the keys, and for the names of methods."""
_COLUMN = 56
"""Cells that a column has at least."""
_GAP = 2
_OURS = "ftui."


class Key(NamedTuple):
    """What one action is called and which keys lead to it."""

    keys: tuple[str, ...]
    label: str
    tooltip: str
    action: str


class Section(NamedTuple):
    """The keys that hold in one place."""

    title: str
    keys: list[Key]


class HelpScreen(Sheet[None]):
    """The keys over whatever was shown; any of a few keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "question_mark,f1,q,escape,enter",
            "dismiss",
            "Close",
            id="help.close",
            tooltip="Close the help",
            priority=True,
        ),
    ]
    DEFAULT_CSS = """
    HelpScreen {
        & > Vertical { width: 100%; }
        & Lines { height: auto; max-height: 100%; }
        & > .strong { color: $primary; }
    }
    """

    def __init__(self, sections: Sequence[Section], *, methods: bool = True) -> None:
        super().__init__()
        self._lines = Lines()
        self._sections, self._methods = sections, methods

    def compose(self) -> ComposeResult:
        box = Vertical(self._lines)
        box.border_title = "Keys"
        box.border_subtitle = "? closes"
        yield box

    def on_mount(self) -> None:
        super().on_mount()
        self.screen.set_focus(self._lines)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)

    @property
    def text(self) -> str:
        """All of it."""
        return self._lines.text

    def _show(self) -> None:
        """In as many columns as there is room for."""
        room = self._lines.room
        count = max(1, (room + _GAP) // (_COLUMN + _GAP))
        width = (room + _GAP) // count - _GAP
        self._lines.show(_beside(_columns(self._blocks(width), count), width))

    def _blocks(self, width: int) -> list[list[Content]]:
        """Each section, as lines of so many cells."""
        blocks = []
        for section in self._sections:
            rows = [
                (" ".join(self.app.get_key_display(Binding(k, "")) for k in key.keys), key.tooltip)
                for key in section.keys
            ]
            blocks.append(_block(section.title, rows, width))
        if not self._methods:
            return blocks
        methods = [(method.label, method.help) for method in METHODS.values()]
        return [*blocks, _block("Named methods", methods, width)]


def _block(title: str, rows: Iterable[tuple[str, str]], width: int) -> list[Content]:
    lines = [Content.styled(title, ".strong")]
    for name, words in rows:
        first, *rest = textwrap.wrap(words, max(_KEYS, width - _KEYS - 3)) or [""]
        lines.append(Content(f"  {name:<{_KEYS}} {first}"))
        lines += [Content(f"{'':<{_KEYS + 3}}{more}") for more in rest]
    return [*lines, Content("")]


def _columns(blocks: Sequence[list[Content]], count: int) -> list[list[Content]]:
    """The blocks in their order, in columns that are as short as can be."""
    heights = [len(block) for block in blocks]
    limit = max(max(heights), -(-sum(heights) // count))
    while len(columns := _filled(blocks, limit)) > count:
        limit += 1
    return columns


def _filled(blocks: Sequence[list[Content]], limit: int) -> list[list[Content]]:
    """Columns of at most `limit` lines, one block at least."""
    columns: list[list[Content]] = [[]]
    for block in blocks:
        if columns[-1] and len(columns[-1]) + len(block) > limit:
            columns.append([])
        columns[-1] += block
    return columns


def _beside(columns: Sequence[Sequence[Content]], width: int) -> list[Line]:
    """The lines of columns, side by side."""
    return [
        Content.assemble(*(c.pad_right(width + _GAP - c.cell_length) for c in row), last)
        for *row, last in zip_longest(*columns, fillvalue=Content(""))
    ]


def help_on(sheet: Screen[None]) -> HelpScreen:
    """The keys of a sheet and of what is in it."""
    lists = keys_of([Lines()])
    there = [node for node in sheet.query("*") if not _in_prompt(node)]  # it tells its own keys
    own = [key for key in keys_of([sheet, *there]) if key.tooltip and key not in lists]
    title = str(sheet.query_one(Vertical).border_title or "").split(":")[0]
    return HelpScreen([Section(title, own), Section("In every list", lists)], methods=False)


def _in_prompt(node: DOMNode) -> bool:
    return any(isinstance(ancestor, Prompt) for ancestor in node.ancestors_with_self)


def sections_of(screen: Screen[None], panes: Iterable[Pane]) -> list[Section]:
    """The keys of the app and of the screen, those of each pane and what is in it, those of lists.

    A binding without a tooltip stands beside one that tells more, and is left out.
    """
    everywhere, lists = keys_of([screen, screen.app]), keys_of([Lines()])
    go_to = {key.action: key for key in everywhere if key.action.startswith("pane(")}
    found = [Section("Everywhere", [key for key in everywhere if key.action not in go_to])]
    for pane in panes:
        own = keys_of([pane, *pane.query("*")])
        told = [key for key in own if key.tooltip and key not in lists]
        found.append(Section(pane.title, [go_to[f"pane({pane.number})"], *told]))
    return [*found, Section("In every list", lists)]


def keys_of(nodes: Iterable[DOMNode]) -> list[Key]:
    """Our own bindings of some nodes, each action once with all its keys.

    A key that a class takes over from its base stands for the class's action only.
    """
    bindings = {
        kind: list(Binding.make_bindings(vars(kind).get("BINDINGS", [])))
        for node in nodes
        for kind in type(node).__mro__
        if kind.__module__.startswith(_OURS)
    }
    taken = {(kind, binding.key) for kind, own in bindings.items() for binding in own}
    found: dict[tuple[str, str], Key] = {}
    for kind, own in bindings.items():
        heirs = [other for other in bindings if other is not kind and issubclass(other, kind)]
        words = {binding.action: binding.tooltip for binding in own if binding.tooltip}
        for binding in own:
            if any((heir, binding.key) in taken for heir in heirs):
                continue
            name = binding.action, binding.tooltip or words.get(binding.action, "")
            before = found[name].keys if name in found else ()
            keys = tuple(dict.fromkeys((*before, binding.key)))
            label = found[name].label if name in found else binding.description
            found[name] = Key(keys, label, name[1], binding.action)
    return list(found.values())
