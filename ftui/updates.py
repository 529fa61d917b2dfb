"""What is sent to the terminal where a part of the screen changed."""

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate


class CellsUpdate(ChopsUpdate):
    """Just the changed cells. Textual's own begins each change at its widget's left edge (its issue
    5625), which is several times the bytes where a curve grows on the right."""

    def __init__(self, update: ChopsUpdate) -> None:
        super().__init__(update.chops, update.spans, update.chop_ends)

    def render_segments(self, console: Console) -> str:
        """Text and escape sequences."""
        sequences: list[str] = []
        for y, x1, x2 in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                first, last = max(x, x1), min(end, x2)
                if strip is not None and first < last:
                    sequences.append(Control.move_to(first, y).segment.text)
                    sequences.append(strip.crop(first - x, last - x).render(console))
        return "".join(sequences)
