"""Which cells of a line changed: over SSH, only those are worth sending."""

from collections.abc import Iterator
from itertools import zip_longest

from rich.cells import get_character_cell_size
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip


def changed_region(before: Strip, after: Strip, y: int) -> Region | None:
    """The part of row `y` from the first to the last cell that differs; None: no cell does."""
    pairs = zip_longest(_cells(before), _cells(after))
    differs = [at for at, (old, new) in enumerate(pairs) if old != new]
    return Region(differs[0], y, differs[-1] + 1 - differs[0], 1) if differs else None


def _cells(strip: Strip) -> Iterator[tuple[str, Style | None]]:
    """What each cell shows; the cells behind the first of a wide character are empty."""
    for text, style, _ in strip:
        for character in text:
            yield character, style
            for _ in range(get_character_cell_size(character) - 1):
                yield "", style
