"""A whole plot as rows of spans. Nothing here knows of colours or of Textual."""

from collections.abc import Sequence

from ftui.widgets.plot.body import Picture, draw_body, message
from ftui.widgets.plot.look import Look, Row, Shown, Smoothed
from ftui.widgets.plot.words import draw_readout, draw_title

__all__ = ["Picture", "draw", "text_of"]
_WITH_READOUT = 8


def draw(shown: Shown, look: Look, width: int, height: int, smoothed: Smoothed) -> Picture:
    """Exactly `height` rows of `width` cells; where low, the read-out stands on the title."""
    if width < 1 or height < 1:
        return Picture()
    every = shown.every
    window = None if every is None else look.window or every
    head = [draw_title(shown, look, window, width)]
    if height >= _WITH_READOUT:
        head.append(draw_readout(shown, look, smoothed, width))
    elif look.cursor is not None and window is not None:
        head = [draw_readout(shown, look, smoothed, width)]
    below = height - len(head)
    if window is None:
        return Picture([*head, *message(f"no {shown.scale.name}s yet", width, below)])
    if below < 2:
        return Picture([*head, *message("", width, below)])
    body = draw_body(shown, look, window, width, below, smoothed)
    return body._replace(rows=[*head, *body.rows])


def text_of(rows: Sequence[Row]) -> str:
    """The rows without styles and without blanks at their ends."""
    return "\n".join("".join(span.text for span in row).rstrip() for row in rows)
