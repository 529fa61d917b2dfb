"""The curves with their axes, as rows of spans."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ftui.widgets.plot.canvas import Canvas, Span, between
from ftui.widgets.plot.decimate import Trace, m4
from ftui.widgets.plot.frame import Frame, draw_floor, draw_side, draw_steps, frame_of
from ftui.widgets.plot.line import Line, connect
from ftui.widgets.plot.look import Look, Row, Shown, Smoothed, glyphs_of, sign_of
from ftui.widgets.plot.series import Floats
from ftui.widgets.plot.window import Window

_SIGN_EVERY = 16  # cells between the signs of a line that isn't the first
_DASH = 2  # cells of a dash, and of the gap behind it
_LABEL, _LABEL_NARROW = 5, 3  # cells kept for the labels of values, so that plots align
_LEAST_COLUMNS = 4
_WITH_FLOOR = 8  # rows from which on the axis of steps has a line


class Picture(NamedTuple):
    """Rows, and where the curves are in them, in cells."""

    rows: Sequence[Row] = ()
    left: int = 0
    columns: int = 0


class Curve(NamedTuple):
    """One series in pixel columns, before a scale of values is chosen."""

    trace: Trace
    part: str
    sign: str = ""
    signed: bool = False
    """Whether the line carries its sign: points do, and all lines but the first."""
    points: bool = False
    dashed: bool = False


def draw_body(
    shown: Shown, look: Look, window: Window, width: int, height: int, smoothed: Smoothed
) -> Picture:
    """Curves, values on the left and steps below, in exactly `height` rows of `width` cells."""
    floor = height >= _WITH_FLOOR
    gutter, needed = 0, _LABEL if width >= 40 else _LABEL_NARROW
    while gutter < needed:
        gutter = needed
        if width - gutter < _LEAST_COLUMNS:
            return Picture(message("no room", width, height))
        canvas = Canvas(width - gutter - 1, max(1, height - 1 - floor), look.mode)
        curves = _curves(shown, look, window, canvas, smoothed)
        limits = _limits([curve.trace for curve in curves], canvas.pixels[1])
        if limits is None:
            words = "no values above 0 in view" if look.log_y else "no values in view"
            return Picture(message(words, width, height))
        if not look.log_y and any(series.from_zero for series in shown.series):
            limits = min(limits[0], 0.0), limits[1]
        frame = frame_of(limits, window, canvas, look.log_y, shown.scale)
        needed = max(map(len, frame.value_labels.values()), default=0)
    cursor = None if look.cursor is None else frame.column(look.cursor)
    _paint(frame, curves, shown, look, cursor)
    glyphs = glyphs_of(look.mode)
    rows: list[Row] = [
        (draw_side(frame, row, gutter, glyphs), *canvas.row(row)) for row in range(canvas.rows)
    ]
    if floor:
        rows.append(draw_floor(frame, cursor, gutter, glyphs))
    rows.append(draw_steps(frame, gutter))
    return Picture(rows, gutter + 1, canvas.columns)


def message(text: str, width: int, height: int) -> list[Row]:
    """Words in the middle, where there is nothing to draw."""
    rows: list[Row] = [(Span(" " * width, "empty"),)] * height
    if height:
        rows[(height - 1) // 2] = (Span(text[:width].center(width), "empty"),)
    return rows


def _curves(
    shown: Shown, look: Look, window: Window, canvas: Canvas, smoothed: Smoothed
) -> list[Curve]:
    """What is drawn, the lowest first: ghosts of what smoothing replaced, other runs, our own.

    ASCII has no room for ghosts: only colour would tell them from the line.
    """
    glyphs, columns = glyphs_of(look.mode), canvas.pixels[1]
    ghosts, curves = [], []
    for index, series in enumerate(shown.series):
        trace = m4(series.x, series.y, *window, columns, positive=look.log_y)
        if look.smoothing and not series.points:
            if look.mode != "ascii" and not series.dashed:
                ghosts.append(Curve(trace, f"ghost-{series.style_key}"))
            trace = m4(series.x, smoothed(series), *window, columns, positive=look.log_y)
        sign = sign_of(shown.series, index, glyphs)
        signed = sign not in (glyphs.lines[0], glyphs.dashes)
        part = f"series-{series.style_key}"
        curves.append(Curve(trace, part, sign, signed, series.points, series.dashed))
    return ghosts + sorted(curves, key=lambda curve: not curve.dashed)


def _limits(traces: list[Trace], columns: int) -> tuple[float, float] | None:
    """The lowest and highest value in view, or else of the points whose line crosses the view."""
    for inside in (True, False):
        lows = [_values(t.low, t, columns, inside) for t in traces]
        highs = [_values(t.high, t, columns, inside) for t in traces]
        if any(map(len, lows)):
            return float(np.concatenate(lows).min()), float(np.concatenate(highs).max())
    return None


def _values(values: Floats, trace: Trace, columns: int, inside: bool) -> Floats:
    kept = ~np.isnan(values)
    return values[kept & trace.within(columns)] if inside else values[kept]


def _paint(frame: Frame, curves: list[Curve], shown: Shown, look: Look, cursor: int | None) -> None:
    canvas, glyphs = frame.canvas, glyphs_of(look.mode)
    for row in frame.value_labels:
        canvas.put(row, slice(None), glyphs.grid, "grid")
    places = {frame.column(marker.x) for marker in shown.markers}
    marked = [column for column in places if column is not None]
    for column in marked:
        canvas.put(slice(None), column, glyphs.changed, "marker")
    if cursor is not None:
        canvas.put(slice(None), cursor, glyphs.cursor, "cursor")
    lines = [(curve, *_line(curve.trace, frame)) for curve in curves if len(curve.trace.column)]
    for curve, _, line in lines:
        mask = between(line.top, line.bottom, canvas.pixels[0])
        if curve.dashed:
            mask &= _dashes(canvas)
        canvas.paint(mask, curve.part, ghost=not curve.sign)
    for curve, rows, line in lines:
        if curve.sign:
            canvas.put(*_sign_cells(curve, rows, line, canvas), curve.sign, curve.part)
    for column in marked:
        canvas.put(0, column, glyphs.changed_top, "marker")
    if cursor is not None:
        canvas.restyle(cursor, "cursor")


def _dashes(canvas: Canvas) -> NDArray[np.bool_]:
    """The pixel columns that a dashed line covers: two cells, and two not."""
    return np.arange(canvas.pixels[1]) // canvas.cell.columns % (2 * _DASH) < _DASH


def _line(trace: Trace, frame: Frame) -> tuple[Trace, Line]:
    """The trace in pixel rows, upside down since row 0 is the top, and the line through it."""
    first, low, high, last = map(frame.pixel_rows, trace[1:])
    rows = Trace(trace.column, first, high, low, last)
    return rows, connect(rows, frame.canvas.pixels[1])


def _sign_cells(
    curve: Curve, rows: Trace, line: Line, canvas: Canvas
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows and columns of cells that carry the curve's own sign: each of a few points, or now
    and then along a line."""
    seen = rows.within(canvas.pixels[1]) & ~np.isnan(rows.low)
    count = np.count_nonzero(seen)
    if count == 1 or (curve.points and 2 * count <= canvas.columns):
        row = np.where(np.isnan(rows.last), rows.low, rows.last)[seen] // canvas.cell.rows
        column = rows.column[seen] // canvas.cell.columns
    else:
        column = np.arange(_SIGN_EVERY // 2, canvas.columns, _SIGN_EVERY, dtype=np.float64)
        pixel = (column * canvas.cell.columns).astype(np.intp)
        row = (line.top[pixel] + line.bottom[pixel]) // (2 * canvas.cell.rows)
        kept = ~np.isnan(row) & (row >= 0) & (row < canvas.rows) & curve.signed
        row, column = row[kept], column[kept]
    return row.astype(np.intp), column.astype(np.intp)
