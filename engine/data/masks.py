"""Masks: pictures whose pixels are class numbers, or colours that stand for classes, read exactly.

Nothing here rounds or blends: a number of 16 bits comes out as it is in the file.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.contract.errors import UserError
from engine.contract.text import plain
from engine.data import picture

IGNORED = -1
"""The class of pixels that don't count."""
CLASS_FILES = ("classes.csv", "classes.txt")

_GREYS = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N")
_SPREAD = {"L;2": 85, "L;4": 17}  # Pillow spreads grey pictures of 2 and 4 bits over 0..255
_IGNORED_NAME = "ignore"


class Values(NamedTuple):
    """What a mask holds before it is known what that means."""

    array: NDArray[np.int64]
    """(H, W): numbers, or colours as red * 65536 + green * 256 + blue."""
    are_colours: bool


@dataclass(frozen=True)
class Coding:
    """What the values of masks mean."""

    classes: list[str]
    """By name; safe to show."""
    numbers: Mapping[int, int]
    """Value to the position of its class, or to `IGNORED`."""
    colours: Mapping[int, int] = field(default_factory=dict)
    """The same of colours, where the class file gives them."""
    source: str = "the masks"
    """Where the classes are named, for errors."""

    def takes_colours(self, mode: str) -> bool:
        """Whether a picture of that Pillow mode is read by its colours.

        Grey ones are only where all colours of the class file are grey: else they hold numbers.
        """
        return bool(self.colours) and (mode not in _GREYS or all(map(_is_grey, self.colours)))

    def meaning(self, of_colours: bool) -> Mapping[int, int]:
        """Value to the position of its class, or to `IGNORED`."""
        return self.colours if of_colours else self.numbers

    def decode(self, values: Values) -> NDArray[np.int16]:
        """(H, W): positions of classes, and `IGNORED`. Raises `picture.Unreadable`."""
        known = self.meaning(values.are_colours)
        keys = np.array(sorted(known), np.int64)
        places = np.searchsorted(keys, values.array).clip(max=len(keys) - 1)
        wrong = keys[places] != values.array
        if wrong.any():
            value = int(values.array[wrong][0])
            raise picture.Unreadable(self.unknown(value, values.are_colours))
        meanings: NDArray[np.int16] = np.array([known[int(key)] for key in keys], np.int16)[places]
        return meanings

    def unknown(self, value: int, is_colour: bool) -> str:
        """Says of a mask that it holds a value without a meaning."""
        if is_colour:
            return f"it holds the colour {_colour_words(value)}, which is not in {self.source}"
        last = len(self.classes) - 1
        return f"it holds {value}, but {self.source} has the classes 0 to {last}"


def read(path: Path, coding: Coding | None) -> Values:
    """The values of a mask, upright; colours where `coding` takes them, numbers otherwise.

    Raises `picture.Unreadable` for what is no exact mask.
    """
    with picture.raw(path) as image:
        if image.format == "JPEG":
            raise picture.Unreadable("a JPEG, whose values are not exact; save masks as PNG")
        spread = _SPREAD.get(_raw_mode(image), 1)
        image.load()
        by_colour = coding is not None and coding.takes_colours(image.mode)
        seen = picture.upright(image)
        if by_colour:
            return Values(_packed(seen), are_colours=True)
        return Values(_numbers(seen) // spread, are_colours=False)


def decoded(path: Path, coding: Coding) -> Image.Image:
    """A mask as positions of classes and `IGNORED`, in mode I. Raises `picture.Unreadable`."""
    return Image.fromarray(coding.decode(read(path, coding)).astype(np.int32))


def class_file(root: Path, ignore_index: int) -> Coding | None:
    """The classes that a data folder names, a line each: a name, or a name and its colour as
    `name,red,green,blue`. None where it names none.

    A line called `ignore` gives the colour of pixels that don't count. Raises `UserError`.
    """
    path = next((root / name for name in CLASS_FILES if (root / name).is_file()), None)
    if path is None:
        return None
    rows = _rows(path)
    names = [row[0] for row in rows if row[0] != _IGNORED_NAME]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f'data.path: {plain(path)} names the class "{plain(twice)}" twice.')
    if len(names) < 2:
        raise UserError(f"data.path: {plain(path)} names {len(names)} classes; it takes two.")
    places = {name: place for place, name in enumerate(names)} | {_IGNORED_NAME: IGNORED}
    colours = {_key(row): places[row[0]] for row in rows if len(row) > 1}
    numbers = {place: place for place in range(len(names))}
    return Coding(
        [plain(name) for name in names],
        numbers | {ignore_index: IGNORED},
        colours,
        path.name,
    )


def numbered(values: Mapping[int, int], ignore_index: int) -> Coding:
    """Classes that are called by their numbers, of all values that masks hold."""
    found = sorted(value for value in values if value != ignore_index)
    numbers = {value: place for place, value in enumerate(found)}
    return Coding([str(value) for value in found], numbers | {ignore_index: IGNORED})


def _rows(path: Path) -> list[list[str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"data.path: {plain(path)} can't be read: {plain(error)}") from None
    split = [[cell.strip() for cell in row] for row in csv.reader(lines) if any(row)]
    rows = split[1:] if split and _is_header(split[0]) else split
    for row in rows:
        if len(row) not in (1, 4) or not all(map(_is_byte, row[1:])):
            raise UserError(
                f'data.path: {plain(path)} has the line "{plain(",".join(row))}"; it takes a name, '
                "or name,red,green,blue with numbers from 0 to 255."
            )
    if len({len(row) for row in rows}) > 1:
        raise UserError(f"data.path: {plain(path)} gives some classes a colour and others none.")
    return rows


def _is_header(row: list[str]) -> bool:
    return row[0].lower() in ("name", "class") and not any(map(_is_byte, row[1:]))


def _is_byte(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) < 256


def _key(row: list[str]) -> int:
    red, green, blue = map(int, row[1:])
    return red << 16 | green << 8 | blue


def _is_grey(colour: int) -> bool:
    return colour % 0x010101 == 0


def _colour_words(colour: int) -> str:
    return f"{colour >> 16},{colour >> 8 & 255},{colour & 255}"


def _raw_mode(image: Image.Image) -> str:
    """How the pixels are stored, in Pillow's words."""
    tiles = getattr(image, "tile", None)
    return str(tiles[0][3]) if tiles else ""


def _packed(image: Image.Image) -> NDArray[np.int64]:
    pixels = np.asarray(image.convert("RGB")).astype(np.int64)
    return pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]


def _numbers(image: Image.Image) -> NDArray[np.int64]:
    if image.mode in _GREYS or image.mode == "P":
        stored = image.getchannel(0) if image.mode == "LA" else image
        return np.asarray(stored).astype(np.int64)
    if image.mode == "F":
        raise picture.Unreadable("holds fractions, not class numbers")
    pixels = np.asarray(image.convert("RGB")).astype(np.int64)
    if (pixels != pixels[..., :1]).any():
        raise picture.Unreadable(
            "holds colours, and no classes.csv in the data folder says which class each is; "
            "give it a line name,red,green,blue for each"
        )
    return pixels[..., 0]
