"""Curves over steps, drawn with characters: numpy and Textual's line API, nothing else."""

from ftui.widgets.plot.export import render_text
from ftui.widgets.plot.look import Look, Mode
from ftui.widgets.plot.series import Marker, Scale, Series
from ftui.widgets.plot.widget import STYLE_KEYS, Plot
from ftui.widgets.plot.window import Window

__all__ = [
    "STYLE_KEYS",
    "Look",
    "Marker",
    "Mode",
    "Plot",
    "Scale",
    "Series",
    "Window",
    "render_text",
]
