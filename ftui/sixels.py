"""Pictures as sixels, as xterm takes them, too. Imported by `ftui.graphics` only."""

import re
from typing import Any

from textual.app import ComposeResult
from textual_image.widget import sixel

_DEFINITION = re.compile(r"(#(\d+);2;\d+;\d+;\d+)")


def selecting(sixels: str) -> str:
    """Selects each colour after it was defined.

    textual-image takes a definition for a choice, as most terminals do. To xterm it is none, and
    what follows would be drawn in the colour before.
    """
    return _DEFINITION.sub(r"\1#\2", sixels)


class SixelImage(sixel.Image):
    """As textual-image's own."""

    def compose(self) -> ComposeResult:
        yield _Drawn(self.image, self._sixel_options)


class _Drawn(sixel._ImageSixelImpl):
    def _image_to_sixels(self, *asked: Any, **more: Any) -> str:
        return selecting(super()._image_to_sixels(*asked, **more))
