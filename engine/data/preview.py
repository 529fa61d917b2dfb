"""Samples of a data set as a person would see them."""

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from engine.contract.events import DataIndexed, FileSkipped
from engine.contract.inspection import Blocks, Ends, Shown
from engine.contract.text import plain
from engine.data import blocks
from engine.data.likeness import Likeness, of_text
from engine.data.masked import MaskedPictures
from engine.data.pictures import Pictures
from engine.data.transforms import Augmentation

_SHOWN = 2_000
"""Characters of a text."""
_LONGEST_LINE = 500
COUNTED = 2**22
"""Characters whose tokens are counted: a second or two."""


class How(NamedTuple):
    """As what samples are seen."""

    augmentation: Augmentation
    epoch: int
    size: int
    """Most pixels of a picture's side."""


class Part(ABC):
    """One side of a data set: its samples by their position."""

    def __init__(
        self,
        labels: Sequence[Sequence[int]],
        names: Callable[[int], str],
        likeness: Callable[[int], Likeness],
    ) -> None:
        """`labels` are the positions of each sample's classes; `names` gives safe names, and
        `likeness` what samples are told apart by, or raises `picture.Unreadable`."""
        self.labels, self.name, self.likeness = labels, names, likeness

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, label: int | None) -> Sequence[int]:
        """The samples of a class, or all."""
        if label is None:
            return range(len(self))
        return [number for number, labels in enumerate(self.labels) if label in labels]

    @abstractmethod
    def shown(self, number: int, classes: Sequence[str], how: How) -> Shown:
        """The sample at a position. Raises `UserError` where the model can't be asked for how."""

    def _problem(self, number: int, file: FileSkipped) -> Shown:
        return Shown(number=number, name=self.name(number), problem=file.reason)


@dataclass(frozen=True)
class Preview:
    """A data set, both of its sides."""

    told: DataIndexed
    train: Part
    val: Part
    skipped: Sequence[FileSkipped]
    held_out: bool
    remarks: Sequence[str] = ()
    ends: Ends | None = None
    blocks: Blocks | None = None
    pixels: Sequence[int] = ()


class PicturePart(Part):
    """Pictures with labels; `pictures` is called when the first is to be seen."""

    def __init__(
        self,
        pictures: Callable[[], Pictures],
        labels: Sequence[Sequence[int]],
        names: Callable[[int], str],
        likeness: Callable[[int], Likeness],
    ) -> None:
        super().__init__(labels, names, likeness)
        self._pictures = pictures

    def shown(self, number: int, classes: Sequence[str], how: How) -> Shown:
        seen = self._pictures().seen(number, how.augmentation, how.epoch)
        if isinstance(seen, FileSkipped):
            return self._problem(number, seen)
        return Shown(
            number=number,
            name=self.name(number),
            labels=[classes[label] for label in self.labels[number]],
            picture=png(_fitting(Image.fromarray(seen), how.size, Image.Resampling.BOX)),
        )


class MaskedPart(Part):
    """Pictures with masks, which show several classes each: none is of a class."""

    def __init__(
        self,
        pictures: Callable[[], MaskedPictures],
        count: int,
        names: Callable[[int], str],
        likeness: Callable[[int], Likeness],
    ) -> None:
        super().__init__([()] * count, names, likeness)
        self._pictures = pictures

    def of(self, label: int | None) -> Sequence[int]:
        return range(len(self))

    def shown(self, number: int, classes: Sequence[str], how: How) -> Shown:
        seen = self._pictures().seen(number, how.augmentation, how.epoch)
        if isinstance(seen, FileSkipped):
            return self._problem(number, seen)
        image, mask = seen
        mask = _fitting(mask, how.size, Image.Resampling.NEAREST)
        places = np.asarray(mask).astype(np.int32) + 1
        return Shown(
            number=number,
            name=self.name(number),
            labels=[classes[place - 1] for place in np.unique(places).tolist() if place],
            picture=png(_fitting(image, how.size, Image.Resampling.BOX)),
            mask=png(Image.fromarray(places.astype(np.uint16))),
        )


class Reader(NamedTuple):
    """How a language model reads."""

    tokenizer: Any = None
    """None: it can't be had."""
    longest: int | None = None
    """Tokens after which a text is cut; None where none is."""
    problem: str = ""
    """Why there is no tokenizer, in a sentence; empty too where there is no model yet."""
    positions: int | None = None
    """As of `ModelInfo`."""


class TextPart(Part):
    """Texts, with labels or without; `reader` is called when the first is to be seen."""

    def __init__(
        self,
        texts: Sequence[str],
        labels: Sequence[Sequence[int]],
        names: Callable[[int], str],
        reader: Callable[[], Reader],
    ) -> None:
        super().__init__(labels, names, lambda number: of_text(texts[number]))
        self.texts, self.reader = texts, reader

    def shown(self, number: int, classes: Sequence[str], how: How) -> Shown:
        text = self.texts[number]
        tokens = self.tokens(number)
        longest = self.reader().longest
        lines = text[:_SHOWN].splitlines()
        return Shown(
            number=number,
            name=self.name(number),
            labels=[classes[label] for label in self.labels[number]],
            text="\n".join(plain(line, _LONGEST_LINE) for line in lines),
            characters=len(text),
            tokens=tokens,
            kept=None if tokens is None or longest is None else min(tokens, longest),
        )

    def tokens(self, number: int) -> int | None:
        """Of a whole text; None where there is no tokenizer, or the text is gigantic."""
        text, reader = self.texts[number], self.reader()
        if reader.tokenizer is None or len(text) > COUNTED:
            return None
        if reader.longest is None:  # a document
            return len(blocks.tokenise(reader.tokenizer, [text], lambda _: None))
        return len(reader.tokenizer(text, verbose=False, return_attention_mask=False)["input_ids"])


def png(image: Image.Image) -> bytes:
    """Quick rather than small."""
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _fitting(image: Image.Image, size: int, how: Image.Resampling) -> Image.Image:
    """Made smaller where a side has more than `size` pixels."""
    share = size / max(image.size)
    if share >= 1:
        return image
    return image.resize([max(1, round(side * share)) for side in image.size], how)
