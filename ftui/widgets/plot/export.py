"""A plot as plain text, for tests and for reports."""

from collections.abc import Sequence

from ftui.widgets.plot.look import Look, Shown
from ftui.widgets.plot.picture import draw, text_of
from ftui.widgets.plot.series import STEPS, Marker, Scale, Series
from ftui.widgets.plot.smooth import smooth


def render_text(
    series: Sequence[Series],
    width: int,
    height: int,
    *,
    markers: Sequence[Marker] = (),
    title: str = "",
    scale: Scale = STEPS,
    look: Look | None = None,
) -> str:
    """What `Plot` shows, `height` lines of up to `width` cells, blanks at their ends left out."""
    look = look or Look()
    picture = draw(
        Shown(series, markers, title, scale=scale),
        look,
        width,
        height,
        lambda s: smooth(s.y, look.smoothing),
    )
    return text_of(picture.rows)
