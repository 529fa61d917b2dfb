"""A picture in the terminal, with what a mask says of it laid over."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from textual.app import ComposeResult
from textual.containers import Container
from textual.widgets import Static

from ftui import graphics

_OVERLAY = 0.55
_COLOURS: NDArray[np.uint8] = np.array(
    [
        (230, 159, 0),
        (86, 180, 233),
        (0, 158, 115),
        (240, 228, 66),
        (0, 114, 178),
        (213, 94, 0),
        (204, 121, 167),
        (148, 103, 189),
    ],
    np.uint8,
)
"""Of Okabe and Ito (2008), told apart by people who confuse red and green, and one more."""


class Picture(Container):
    """As large as there is room; as good as the terminal draws it, half-blocks everywhere.

    Where there are no colours or only ASCII, words say so.
    """

    DEFAULT_CSS = """
    Picture {
        width: 1fr; height: 1fr; align: center middle;
        & > .picture--image { width: auto; height: auto; }
        & > Static { width: auto; max-width: 100%; height: auto; color: $foreground-muted; }
    }
    """

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._ascii = ascii_only
        self._words = Static(markup=False)
        self._image: Any = None

    def compose(self) -> ComposeResult:
        yield self._words

    def show(self, png: bytes, mask: bytes = b"") -> None:
        """Show a picture (PNG, RGB), its mask (PNG of 16 bits, class plus one) laid over it."""
        if reason := self._reason():
            self.say(reason)
            return
        image = picture_of(png, mask)
        if self._image is None:
            self._image = graphics.image_widget()(image, classes="picture--image")
            self.mount(self._image)
        else:
            self._image.image = image
        self._image.display, self._words.display = True, False

    def say(self, words: str) -> None:
        """Show words instead; nothing in them is read as markup."""
        self._words.update(words)
        self._words.display = True
        if self._image is not None:
            self._image.display = False

    def _reason(self) -> str:
        """Why no picture can be drawn; empty where it can."""
        if self._ascii:
            return "A picture, which ASCII can't draw (leave --ascii out)."
        if self.app.no_color:
            return "A picture, which takes colours (NO_COLOR is set, or TERM has none)."
        return ""


def picture_of(png: bytes, mask: bytes = b"") -> Image.Image:
    """RGB; where `mask` has a class, its colour shines through."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    if not mask:
        return image
    places = np.asarray(Image.open(io.BytesIO(mask))).astype(np.int64)
    pixels = np.asarray(image).astype(np.float32)
    colours = _COLOURS[(places - 2) % len(_COLOURS)]
    seen = places > 1
    pixels[seen] += _OVERLAY * (colours[seen] - pixels[seen])
    return Image.fromarray(pixels.round().astype(np.uint8))


def colour_of(place: int) -> Sequence[int] | None:
    """Red, green and blue of the class at a position; None for the first, the background."""
    return _COLOURS[(place - 1) % len(_COLOURS)].tolist() if place else None
