"""Pictures by the protocols of terminals, where textual-image's own are not what these take.

Imported by `ftui.graphics` only.
"""

import re
from typing import Any

from rich.control import Control
from rich.segment import Segment
from textual.app import ComposeResult
from textual_image.renderable import tgp
from textual_image.widget import sixel
from textual_image.widget._base import Image

_DEFINITION = re.compile(r"(#(\d+);2;\d+;\d+;\d+)")


class _Freed(tgp.Image):
    def cleanup(self) -> None:
        """Have the terminal forget the picture: textual-image names it in a way that kitty takes
        for another's number, so that it was kept."""
        if self.terminal_image_id:
            tgp._send_tgp_message(a="d", d="I", i=self.terminal_image_id, q=2)
            self.terminal_image_id = None


class KittyImage(Image, Renderable=_Freed):
    """By kitty's graphics protocol, in cells of placeholders (kitty 0.28 and later, Ghostty)."""


class SixelImage(sixel.Image, Renderable=sixel._NoopRenderable):
    """In colours that xterm selects, too, and with nothing left beside it of what was there."""

    def compose(self) -> ComposeResult:
        yield _Selecting(self.image, self._sixel_options)


class _Selecting(sixel._ImageSixelImpl):
    def _image_to_sixels(self, *asked: Any, **more: Any) -> str:
        """Each colour is selected after it was defined: most terminals take a definition for a
        choice, but xterm goes on in the colour before."""
        return _DEFINITION.sub(r"\1#\2", super()._image_to_sixels(*asked, **more))

    def _get_sixel_segments(self, sixel_data: str) -> list[Segment]:
        """The row goes on beside the picture, not below it."""
        *drawn, _ = super()._get_sixel_segments(sixel_data)
        right, below = self.screen.find_widget(self).visible_region.bottom_right
        return [*drawn, Segment(Control.move_to(right, below - 1).segment.text)]
