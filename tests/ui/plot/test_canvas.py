"""Pixels to characters and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ftui.widgets.plot.canvas import CELLS, Canvas, Mask, between

MODES = sorted(CELLS)


def pixels(canvas: Canvas) -> Mask:
    """What the characters of a canvas show."""
    cell = canvas.cell
    sums = {chr(code): weight for weight, code in enumerate(cell.characters.tolist())}
    text = ["".join(span.text for span in canvas.row(row)) for row in range(canvas.rows)]
    dots = np.array([[sums[c] for c in line] for line in text])
    bits = (dots[:, :, None, None] & cell.weights) > 0
    return bits.transpose(0, 2, 1, 3).reshape(canvas.pixels)


@pytest.mark.parametrize("mode", MODES)
@given(data=st.data())
def test_characters_show_exactly_the_pixels(mode: str, data: st.DataObject) -> None:
    rows, columns = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 9))
    canvas = Canvas(columns, rows, mode)
    mask = data.draw(arrays(np.bool_, canvas.pixels))
    canvas.paint(mask, "a")
    assert (pixels(canvas) == mask).all()


def test_a_cell_has_the_style_of_the_last_series_in_it_and_keeps_thin_lines_below() -> None:
    canvas = Canvas(3, 1, "braille")
    top, left = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    top[0] = True
    left[:, 2] = True
    canvas.paint(top, "first")
    canvas.paint(left, "second")
    assert canvas.row(0) == [("⠉", "first"), ("⡏", "second"), ("⠉", "first")]


def test_a_line_is_seen_through_a_full_cell_and_through_a_ghost() -> None:
    for ghost in (False, True):
        canvas = Canvas(2, 1, "braille")
        line = np.zeros((4, 4), bool)
        line[1, :2] = True
        canvas.paint(np.ones((4, 4), bool), "below", ghost=ghost)
        canvas.paint(line, "line")
        assert canvas.row(0) == [("⠒", "line"), ("⣿", "below")]


def test_a_thin_ghost_gives_way_too() -> None:
    canvas = Canvas(1, 1, "braille")
    low, high = np.zeros((4, 2), bool), np.zeros((4, 2), bool)
    low[3], high[0] = True, True
    canvas.paint(low, "ghost", ghost=True)
    canvas.paint(high, "line")
    assert canvas.row(0) == [("⠉", "line")]


def test_blanks_take_the_style_before_them() -> None:
    canvas = Canvas(7, 1, "ascii")
    canvas.put(0, 1, "x", "a")
    canvas.put(0, 4, "y", "b")
    assert [span.text for span in canvas.row(0)][-1] == "y  "


def test_an_empty_canvas_is_blank() -> None:
    assert "".join(span.text for span in Canvas(4, 2, "braille").row(1)) == "    "


def test_between_has_no_pixels_where_there_is_no_line() -> None:
    top, bottom = np.array([1.0, np.nan, 3.0]), np.array([2.0, np.nan, 9.0])
    assert between(top, bottom, 4).astype(int).tolist() == [
        [0, 0, 0],
        [1, 0, 0],
        [1, 0, 0],
        [0, 0, 1],
    ]
