"""Pixels smaller than a cell, as characters."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ftui.widgets.plot.series import Floats

Mask = NDArray[np.bool_]
_SPACE = ord(" ")


class Cell(NamedTuple):
    """How many pixels a character holds, and which character stands for which of them."""

    weights: NDArray[np.uint8]
    """Shape (pixel rows, pixel columns); a set of pixels is the sum of their weights."""
    characters: NDArray[np.uint32]
    """Code points by that sum."""

    @property
    def rows(self) -> int:
        return int(self.weights.shape[0])

    @property
    def columns(self) -> int:
        return int(self.weights.shape[1])


def _cell(weights: list[list[int]], characters: str) -> Cell:
    return Cell(np.array(weights, np.uint8), np.array([ord(c) for c in characters], np.uint32))


CELLS = {
    "braille": _cell(
        [[1, 8], [2, 16], [4, 32], [64, 128]],
        " " + "".join(chr(0x2800 + dots) for dots in range(1, 256)),
    ),
    "quadrant": _cell([[1, 2], [4, 8]], " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"),
    "ascii": _cell([[1], [2]], " '.:"),
}


class Span(NamedTuple):
    """A piece of a row, and the component class, without its prefix, that styles it."""

    text: str
    part: str


class Canvas:
    """A grid of characters, each with its style; what is drawn later covers what is there."""

    def __init__(self, columns: int, rows: int, mode: str) -> None:
        self.cell = CELLS[mode]
        self.columns, self.rows = columns, rows
        self._characters = np.full((rows, columns), _SPACE, np.uint32)
        self._parts = np.zeros((rows, columns), np.uint8)
        self._dots = np.zeros((rows, columns), np.uint8)
        self._names: list[str] = []

    @property
    def pixels(self) -> tuple[int, int]:
        """Pixel rows and pixel columns."""
        return self.rows * self.cell.rows, self.columns * self.cell.columns

    def paint(self, mask: Mask, part: str, *, ghost: bool = False) -> None:
        """Draw pixels, shape as `pixels`, into cells that all take the style `part`.

        What is in these cells stays where it is thin, so that no curve hides another, and gives way
        where it fills more than half of a cell, or is a ghost.
        """
        height, width = self.cell.weights.shape
        blocks = mask.reshape(self.rows, height, self.columns, width)
        dots = np.einsum("rhcw,hw->rc", blocks.view(np.uint8), self.cell.weights)
        touched = dots > 0
        if not ghost:
            dots |= np.where(2 * np.bitwise_count(self._dots) <= height * width, self._dots, 0)
            self._dots[touched] = dots[touched]
        self._characters[touched] = self.cell.characters[dots[touched]]
        self._parts[touched] = self._index(part)

    def put(
        self,
        rows: int | slice | NDArray[np.intp],
        columns: int | slice | NDArray[np.intp],
        character: str,
        part: str,
    ) -> None:
        """Write one character into the cells that `rows` and `columns` index as numpy does."""
        self._characters[rows, columns] = ord(character)
        self._parts[rows, columns] = self._index(part)

    def restyle(self, column: int, part: str) -> None:
        """Give a whole column one style."""
        self._parts[:, column] = self._index(part)

    def row(self, row: int) -> list[Span]:
        """One row from left to right; blanks take the style before them, for fewer spans."""
        characters, parts = self._characters[row], self._parts[row]
        if not self._names:
            return [Span(" " * self.columns, "")]
        at = np.where(characters != _SPACE, np.arange(self.columns), 0)
        parts = parts[np.maximum.accumulate(at)]
        text = characters.astype("<u4").tobytes().decode("utf-32-le")
        cuts = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), self.columns]
        return [Span(text[a:b], self._names[parts[a]]) for a, b in pairwise(cuts)]

    def _index(self, part: str) -> int:
        if part not in self._names:
            self._names.append(part)
        return self._names.index(part)


def between(top: Floats, bottom: Floats, rows: int) -> Mask:
    """Pixels from row `top` to row `bottom`, both included, of each column; NaN: none.

    `top` and `bottom` have shape (columns,), the result (rows, columns).
    """
    row = np.arange(rows)[:, None]
    return (row >= top) & (row <= bottom)
