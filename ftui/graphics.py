"""How this terminal draws pictures, told by its environment.

textual-image asks the terminal when it is imported. Once the app runs, the answer would come as
keys, and before that it would hold up the first frame: so it is not given a terminal to ask.
"""

import fcntl
import io
import os
import struct
import sys
import termios
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any, Literal

Graphics = Literal["kitty", "sixel", "blocks"]

_KITTY = ("xterm-kitty", "xterm-ghostty")
_SIXEL = ("foot", "mlterm", "contour", "yaft")
_SIXEL_PROGRAMS = ("WezTerm", "iTerm.app", "iTerm2")
_WINDOW_SIZE = struct.Struct("HHHH")  # rows, columns, pixels across, pixels down


def graphics(environment: Mapping[str, str] = os.environ) -> Graphics:
    """What the terminal surely draws; half-blocks within tmux and screen, which pass nothing on.

    FTUI_GRAPHICS says it where that is not known.
    """
    asked = environment.get("FTUI_GRAPHICS", "")
    if asked in ("kitty", "sixel", "blocks"):
        return asked  # type: ignore[return-value]
    terminal = environment.get("TERM", "")
    if "TMUX" in environment or "STY" in environment or terminal.startswith(("tmux", "screen")):
        return "blocks"
    if terminal in _KITTY:
        return "kitty"
    programs = (environment.get("TERM_PROGRAM"), environment.get("LC_TERMINAL"))
    if terminal.split("-")[0] in _SIXEL or any(name in _SIXEL_PROGRAMS for name in programs):
        return "sixel"
    return "blocks"


@cache
def image_widget() -> Any:
    """The class of textual-image for it: a `Widget` whose `image` is a Pillow picture."""
    if cell := _cell_size():
        for name, pixels in zip(("TEXTUAL_CELL_WIDTH", "TEXTUAL_CELL_HEIGHT"), cell, strict=True):
            os.environ.setdefault(name, str(pixels))
    terminal, sys.__stdout__ = sys.__stdout__, io.StringIO()  # type: ignore[misc,assignment]
    try:
        from textual_image import widget

        from ftui import terminal_pictures as ours
    finally:
        sys.__stdout__ = terminal  # type: ignore[misc]
    kinds = {"kitty": ours.KittyImage, "sixel": ours.SixelImage, "blocks": widget.HalfcellImage}
    return kinds[graphics()]


def _cell_size() -> tuple[int, int] | None:
    """Pixels of a cell, across and down; None where the terminal does not tell the system."""
    with suppress(OSError, ValueError, AttributeError):
        told = fcntl.ioctl(sys.__stdout__, termios.TIOCGWINSZ, bytes(_WINDOW_SIZE.size))  # type: ignore[arg-type]
        rows, columns, across, down = _WINDOW_SIZE.unpack(told)
        if rows and columns and across >= columns and down >= rows:
            return across // columns, down // rows
    return None
