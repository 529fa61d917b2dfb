"""Where values and steps stand on the canvas, and the axes around it."""

from typing import NamedTuple

import numpy as np

from ftui.widgets.plot.axes import Axis, labels, value_axis
from ftui.widgets.plot.canvas import Canvas, Span
from ftui.widgets.plot.look import Glyphs, Row
from ftui.widgets.plot.series import Floats, Scale
from ftui.widgets.plot.window import Window

_CELLS_A_NUMBER, _CELLS_A_TEXT = 12, 8
"""That a label below the plot has room in, of steps and of others."""


class Frame(NamedTuple):
    """The scales of a canvas, with the labels of their ticks by cell."""

    canvas: Canvas
    values: Axis
    steps: Window
    value_labels: dict[int, str]
    step_labels: dict[int, str]

    def pixel_rows(self, values: Floats) -> Floats:
        """Whole rows from the top."""
        return _pixel_rows(values, self.values, self.canvas)

    def column(self, step: float) -> int | None:
        """The cell's column of a step; None: out of view."""
        column = _column(step, self.steps, self.canvas)
        return column if 0 <= column < self.canvas.columns else None


def frame_of(
    limits: tuple[float, float], steps: Window, canvas: Canvas, log: bool, scale: Scale
) -> Frame:
    """A frame that holds the values between `limits`."""
    most = canvas.rows // 4 + 1
    axis = value_axis(*limits, most, log)
    values = axis.ticks(most)
    rows = _pixel_rows(np.array(values), axis, canvas) // canvas.cell.rows
    return Frame(
        canvas,
        axis,
        steps,
        dict(zip(rows.astype(int).tolist(), labels(values, log), strict=True)),
        _step_labels(steps, canvas, scale),
    )


def _step_labels(steps: Window, canvas: Canvas, scale: Scale) -> dict[int, str]:
    """By column."""
    if scale.ticks is None:
        ticks = Axis(*steps).ticks(canvas.columns // _CELLS_A_NUMBER + 1, 1.0)
        texts = labels(ticks)
    else:
        inside = [x for x in scale.ticks if steps.holds(x)]
        ticks = inside[:: len(inside) // (canvas.columns // _CELLS_A_TEXT + 1) + 1]
        texts = [scale.text(x) for x in ticks]
    return dict(zip((_column(x, steps, canvas) for x in ticks), texts, strict=True))


def draw_side(frame: Frame, row: int, gutter: int, glyphs: Glyphs) -> Span:
    """The axis of values on the left of a row."""
    label = frame.value_labels.get(row)
    edge = glyphs.side if label is None else glyphs.tick
    return Span((label or "").rjust(gutter) + edge, "axis")


def draw_floor(frame: Frame, cursor: int | None, gutter: int, glyphs: Glyphs) -> Row:
    """The axis of steps, with the cursor's foot on it."""
    columns, ticks = range(frame.canvas.columns), frame.step_labels
    cells = "".join(glyphs.floor_tick if c in ticks else glyphs.floor for c in columns)
    start = Span(" " * gutter + glyphs.corner, "axis")
    if cursor is None:
        return (start, Span(cells, "axis"))
    foot = Span(glyphs.cursor_foot, "cursor")
    return (start, Span(cells[:cursor], "axis"), foot, Span(cells[cursor + 1 :], "axis"))


def draw_steps(frame: Frame, gutter: int) -> Row:
    """Each label's middle below its tick, but within the row and apart from the one before."""
    left = gutter + 1
    width, text = left + frame.canvas.columns, ""
    for column, label in frame.step_labels.items():
        start = min(left + column - len(label) // 2, width - len(label))
        if not text or start > len(text):
            text = text.ljust(start) + label
    return (Span(text.ljust(width)[:width], "axis"),)


def _pixel_rows(values: Floats, axis: Axis, canvas: Canvas) -> Floats:
    return np.rint((1 - axis.position(values)) * (canvas.pixels[0] - 1))


def _column(step: float, steps: Window, canvas: Canvas) -> int:
    pixel = round((step - steps.start) / steps.span * (canvas.pixels[1] - 1))
    return pixel // canvas.cell.columns
