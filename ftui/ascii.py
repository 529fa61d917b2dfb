"""What `--ascii` does to whatever is still not ASCII: names from outside, mostly."""

from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_KNOWN = str.maketrans("…—–×█■▌▐⭘°", "~--x##||o ")


class AsciiOnly(LineFilter):
    """Replaces characters, each by as many cells as it takes."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment if segment.control or segment.text.isascii() else _ascii(segment)
            for segment in segments
        ]


def _ascii(segment: Segment) -> Segment:
    return Segment(ascii_text(segment.text), segment.style)


@lru_cache(4096)
def ascii_text(text: str) -> str:
    """`text` in as many cells, without any character that a plain terminal lacks."""
    known = text.translate(_KNOWN)
    return "".join(c if c.isascii() else "?" * cell_len(c) for c in known)
