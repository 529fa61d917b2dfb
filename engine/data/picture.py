"""A file as a person would see it: one upright RGB picture, or the reason why there is none.

Pillow's global switches are left alone (`LOAD_TRUNCATED_IMAGES` stays off), so that any number of
threads and processes can read at once; only its warnings, which nobody would see, are silenced.
"""

import errno
import logging
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from engine.contract.text import plain

MAX_PIXELS = 100_000_000
"""Larger pictures are refused before they are decoded: 100 megapixels are 300 MB in RGB, several
times that while transparency or orientation is worked in, and that in each reading process."""

warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)
Image.init()

# Not every format of Pillow: EPS runs a program, TGA takes any text for a picture.
_FORMATS: list[str] = [
    name
    for name in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000", "AVIF")
    if name in Image.OPEN
]
SUFFIXES = frozenset(end for end, name in Image.EXTENSION.items() if name in _FORMATS) | {".mpo"}
"""How the names of files that can be read end, in lower case."""

UNREADABLE_SUFFIXES = {".heic", ".heif", ".jxl", ".svg", ".psd", ".raw", ".dng", ".cr2", ".nef"}
"""Pictures to a person, yet nothing that Pillow reads."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FIRST_ON_ITS_SIDE = 5
_TIFF_BITS, _TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


class Unreadable(Exception):  # noqa: N818 - what the file is, not what went wrong
    """A file that gives no picture; `reason` says why in a few words, safe to show."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def check(path: Path) -> None:
    """Raise `Unreadable` where the file's size or header already shows that it gives no picture."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("not a file")
        if status.st_size == 0:
            raise Unreadable("empty file")
        with _opened(path):
            pass
    except Exception as error:
        raise Unreadable(_reason(error)) from error


def read(path: Path, at_least: int | None = None) -> Image.Image:
    """The picture in mode RGB, upright; of an animation its first frame.

    Transparent parts lie over white. 16-bit values are scaled by their full range; other deep ones
    (32-bit, float) by the usual range that holds them all (1, 255, 65535), or else by their own.
    `at_least` allows a smaller picture, both of whose sides are still at least so many pixels:
    JPEGs then decode up to 8 times smaller at a fraction of the time.

    Raises `Unreadable` for whatever is broken, cut short, gigantic or no picture.
    """
    try:
        with _opened(path) as image:
            if at_least is not None:
                image.draft(None, (at_least, at_least))
            image.load()
            turn = _UPRIGHT.get(_orientation(image))
            rgb = _rgb(image)
            return rgb if turn is None else rgb.transpose(turn)
    except Exception as error:  # Pillow's decoders raise nearly everything on broken files
        raise Unreadable(_reason(error)) from error


@contextmanager
def raw(path: Path) -> Iterator[Image.Image]:
    """The picture as it is stored, its header read and its pixels not; errors are `Unreadable`."""
    try:
        with _opened(path) as image:
            yield image
    except Exception as error:
        raise Unreadable(_reason(error)) from error


def upright(image: Image.Image) -> Image.Image:
    """Turned as EXIF says."""
    turn = _UPRIGHT.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of what `read` gives whole, from the header. Raises `Unreadable`."""
    with raw(path) as image:
        on_its_side = _orientation(image) >= _FIRST_ON_ITS_SIDE
        return (image.height, image.width) if on_its_side else image.size


def _opened(path: Path) -> Image.Image:
    """The picture with its header read and its pixels not; the caller closes it."""
    image = Image.open(path, formats=_FORMATS)
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise Image.DecompressionBombError
    return image


def _orientation(image: Image.Image) -> int:
    """What EXIF says, 1 for upright; broken EXIF says nothing, as it does to viewers."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(image)).convert("RGB")
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        white = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(white, seen).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> NDArray[np.uint8]:
    """A grey picture of 12, 16 or 32 bits or floats, scaled to 0..255. (H, W) to (H, W)."""
    tags = getattr(image, "tag_v2", {})
    if image.mode.startswith("I;16"):
        bits = tags.get(_TIFF_BITS, (16,))[0]
        low, high = 0.0, float(2**bits - 1)
        values: NDArray[np.floating] = np.asarray(image).astype(np.float32)
        if tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
            values = high - values
    else:
        values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)
        low, high = _range(values, floats=image.mode == "F")
    scaled: NDArray[np.floating] = (values - low) * (255 / (high - low))
    return (scaled + 0.5).astype(np.uint8)


def _range(values: NDArray[np.floating], floats: bool) -> tuple[float, float]:
    lowest, highest = float(values.min()), float(values.max())
    usual = (1.0, 255.0, 65535.0) if floats else (255.0, 65535.0)
    fitting = [top for top in usual if lowest >= 0 and highest <= top]
    if fitting:
        return 0.0, fitting[0]
    return lowest, max(highest, lowest + 1)


def _reason(error: Exception) -> str:
    match error:
        case Unreadable():
            return error.reason
        case UnidentifiedImageError():
            return "not a picture"
        case Image.DecompressionBombError():
            return f"gigantic: more than {MAX_PIXELS // 10**6} megapixels"
        case OSError(errno=int(number)) if number != errno.EINVAL:
            return f"can't be read: {os.strerror(number).lower()}"
        case _ if "truncated" in str(error).lower():
            return "cut short: the file ends before the picture does"
        case _:
            return f"broken picture: {plain(error) or type(error).__name__}"
