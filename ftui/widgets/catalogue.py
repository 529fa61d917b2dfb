"""The list of models: aligned columns, of which the least important go where it is narrow."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import ClassVar, NamedTuple

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Input

from engine.contract.catalogue import Catalogue, CatalogueEntry
from engine.contract.text import plain
from ftui.format import short
from ftui.widgets.lines import Lines

_LONGEST_NAME = 46
_SHORTEST_NAME = 26
_GAP = 2


class Column(NamedTuple):
    """One figure of a model; columns of a higher `rank` are dropped first."""

    title: str
    width: int
    rank: int


_PARAMETERS = Column("params", 6, 1)
_SIDE = Column("input", 5, 5)
_ACCURACY = Column("top-1", 6, 2)
_DOWNLOAD = Column("download", 8, 4)
_ON_DISK = Column("on disk", 7, 3)
_COLUMNS = (_PARAMETERS, _SIDE, _ACCURACY, _DOWNLOAD, _ON_DISK)


class CatalogueList(Lines):
    """Models to choose from."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Choose", id="catalogue.choose", tooltip="Choose this model"),
    ]


class SearchInput(Input):
    """Where the search is typed; up and down move in the list meanwhile."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "pass('move(-1)')", "Up", show=False, id="search.up"),
        Binding("down", "pass('move(1)')", "Down", show=False, id="search.down"),
        Binding("pageup", "pass('page(-1)')", "Page up", show=False, id="search.page-up"),
        Binding("pagedown", "pass('page(1)')", "Page down", show=False, id="search.page-down"),
        Binding("enter", "submit", "Choose", id="search.choose", tooltip="Choose this one"),
        Binding("escape,ctrl+g", "leave", "Back", id="search.leave", tooltip="To the whole list"),
    ]

    class Left(Message):
        """Nothing is searched any more."""

    async def action_pass(self, action: str) -> None:
        await self.app.run_action(action, self.screen.query_one(CatalogueList))

    def action_leave(self) -> None:
        self.value = ""
        self.post_message(self.Left())


class Columns:
    """The columns that have room in `width` cells."""

    def __init__(self, width: int, ascii_only: bool = False) -> None:
        shown = list(_COLUMNS)
        while shown and self._taken(shown) + _SHORTEST_NAME > width:
            shown.remove(max(shown, key=lambda column: column.rank))
        self._columns = shown
        self._name = max(8, min(_LONGEST_NAME, width - self._taken(shown)))
        self._mark, self._yes = (">", "yes") if ascii_only else ("▸", "✓")

    @property
    def header(self) -> Content:
        titles = "".join(" " * _GAP + c.title.rjust(c.width) for c in self._columns)
        return Content.styled("  model".ljust(self._name) + titles, ".muted")

    def line(self, entry: CatalogueEntry, on_disk: bool, chosen: bool) -> Content:
        """One model; `-` where its library states nothing."""
        figures = {
            _PARAMETERS: short(entry.parameters) if entry.parameters else "-",
            _SIDE: str(entry.image_size) if entry.image_size else "-",
            _ACCURACY: f"{100 * entry.accuracy:.1f} %" if entry.accuracy else "-",
            _DOWNLOAD: download_text(entry),
            _ON_DISK: self._yes if on_disk else "",
        }
        right = "".join(" " * _GAP + figures[c].rjust(c.width) for c in self._columns)
        name = plain(entry.name, self._name - 2).ljust(self._name - 2)
        mark = self._mark if chosen else " "
        return Content.assemble((f"{mark} ", ".accent"), name, (right, "" if chosen else ".muted"))

    @staticmethod
    def _taken(columns: Iterable[Column]) -> int:
        return sum(column.width + _GAP for column in columns)


def download_text(entry: CatalogueEntry) -> str:
    """47 MB, 2.5 GB, in powers of ten as files are listed on the web; `-` where it isn't known."""
    size = (entry.download_size or 0) / 1e6
    if not size:
        return "-"
    return f"{size:.0f} MB" if size < 999.5 else f"{size / 1000:.1f} GB"


def on_disk(catalogue: Catalogue) -> set[str]:
    """Names of the models whose default weights were downloaded before."""
    there: dict[str, Collection[str]] = {}
    for source, folder in catalogue.cache_folders.items():
        place = Path(folder)
        there[source] = {p.name for p in place.iterdir()} if place.is_dir() else set()
    return {
        entry.name
        for entry in catalogue.entries
        if entry.weights_file in there.get(entry.name.partition("/")[0], ())
    }
