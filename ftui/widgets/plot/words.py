"""The two lines above the curves: what is shown, and what it is at the cursor."""

from collections.abc import Iterator

import numpy as np
from rich.cells import cell_len, set_cell_size

from engine.contract.text import plain
from ftui.format import count, number
from ftui.widgets.plot.canvas import Span
from ftui.widgets.plot.look import Glyphs, Look, Row, Shown, Smoothed, glyphs_of, nearest, sign_of
from ftui.widgets.plot.series import Marker
from ftui.widgets.plot.window import Window


def draw_title(shown: Shown, look: Look, window: Window | None, width: int) -> Row:
    """Title and legend, and on the right how they are looked at; that gives way where narrow."""
    glyphs = glyphs_of(look.mode)
    left = [Span(plain(shown.title), "title")] if shown.title else []
    for index, series in enumerate(shown.series):
        text = f"{sign_of(shown.series, index, glyphs)} {plain(series.name)}"
        left.append(Span(text, f"series-{series.style_key}"))
    left = _spaced(left)
    hidden = _hidden(shown, window, glyphs) if look.log_y and window is not None else ""
    notes = [hidden] if hidden else []
    room = width - _length(left) - 2
    for note in _choices(look):
        if len(glyphs.between.join([*notes, note])) <= room:
            notes.append(note)
    right = glyphs.between.join(notes)[: max(0, width - 2)]
    if not right:
        return fit(left, width, glyphs)
    start = fit(left, width - len(right) - 2, glyphs)
    return (*start, Span("  ", "notice"), Span(right, "notice"))


def draw_readout(shown: Shown, look: Look, smoothed: Smoothed, width: int) -> Row:
    """Each series' value at the cursor, or the newest, and what was changed near it."""
    glyphs, reach = glyphs_of(look.mode), shown.reach
    if reach is None:
        return fit([], width, glyphs)
    at = reach[1] if look.cursor is None else look.cursor
    part = "readout" if look.cursor is None else "cursor"
    spans = [Span(f"{shown.scale.name} {shown.scale.text(at)}", part)]
    for series in shown.series:
        index = nearest(series, at)
        if index is None:
            continue
        text = f"{plain(series.name)} {number(float(series.y[index]))}"
        if look.smoothing and not series.points:
            text += f" ~{number(float(smoothed(series)[index]))}"
        if series.x[index] != at:
            text += f" @{shown.scale.text(series.x[index])}"
        spans.append(Span(text, f"series-{series.style_key}"))
    if markers := _near(shown, look, width):
        labels = ", ".join(plain(marker.label) for marker in markers)
        spans.append(Span(f"{glyphs.changed_top} {labels}", "marker"))
    return fit(_spaced(spans), width, glyphs)


def fit(spans: list[Span], width: int, glyphs: Glyphs) -> Row:
    """The spans in exactly `width` cells, cut with an ellipsis where they must be."""
    row, room = [], max(0, width)
    for span in spans:
        needed = cell_len(span.text)
        if needed > room:
            if room:
                row.append(Span(set_cell_size(span.text, room - 1) + glyphs.ellipsis, span.part))
            return tuple(row)
        row.append(span)
        room -= needed
    return (*row, Span(" " * room, "title")) if room else tuple(row)


def _choices(look: Look) -> Iterator[str]:
    """The most important first."""
    if look.log_y:
        yield "log"
    if look.smoothing:
        yield f"smooth {look.smoothing:.2g}"
    if look.window is not None:
        yield "zoomed"


def _hidden(shown: Shown, window: Window, glyphs: Glyphs) -> str:
    amount = 0
    for series in shown.series:
        start, end = (
            np.searchsorted(series.x, window.start),
            np.searchsorted(series.x, window.end, "right"),
        )
        amount += int(np.count_nonzero(series.y[start:end] <= 0))
    return f"{count(amount, 'value')} {glyphs.at_most} 0 not shown" if amount else ""


def _near(shown: Shown, look: Look, width: int) -> list[Marker]:
    """The markers at the step nearest to the cursor, if that is about in the same cell of `width`.

    Those of a paused run all stand at one step.
    """
    view, cursor = look.window or shown.every, look.cursor
    if cursor is None or view is None or not shown.markers:
        return []
    nearest = min(shown.markers, key=lambda m: abs(m.x - cursor)).x
    if abs(nearest - cursor) > view.span / width:
        return []
    return [marker for marker in shown.markers if marker.x == nearest]


def _spaced(spans: list[Span]) -> list[Span]:
    gaps = (Span("  ", "title") for _ in spans)
    return [span for pair in zip(gaps, spans, strict=True) for span in pair][1:]


def _length(spans: list[Span]) -> int:
    return sum(cell_len(span.text) for span in spans)
