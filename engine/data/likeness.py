"""What tells whether two samples are the same, or nearly."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.data import picture, shingles

_SIDE = 8
_READ_AT = 64
_MOST_BITS = 6
_MOST_LEVELS = 6.0
_AT_ONCE = 256

Outline = NDArray[np.uint8]


class Likeness(NamedTuple):
    """Of one sample."""

    digest: bytes
    """Equal for copies; of a text without its case and spaces."""
    outline: NDArray[Any]
    """Of a picture: (8, 9), in grey; of a text its shingles."""


def of_file(path: Path) -> Likeness:
    """Of a picture. Raises `picture.Unreadable`."""
    image = picture.read(path, at_least=_READ_AT)
    return Likeness(_digest(path.read_bytes()), _small(image))


def of_image(image: Image.Image) -> Likeness:
    return Likeness(_digest(image.tobytes()), _small(image))


def of_text(text: str) -> Likeness:
    digest = _digest(" ".join(text.casefold().split()).encode(errors="surrogateescape"))
    return Likeness(digest, shingles.of(text))


def nearest(some: Sequence[Outline], others: Sequence[Outline]) -> Iterator[int]:
    """For each of some pictures in grey, (8, 9), the position in `others` of the one that is nearly
    the same, or -1.

    Their difference hashes differ by six bits at most (dHash, N. Krawetz 2013: whether each pixel
    is brighter than the one beside it, 64 bits); as flat pictures have no bits to tell them apart,
    their grey levels do, too: by six of 256 on average at most.
    """
    known = np.array(others, np.uint8).reshape(-1, _SIDE, _SIDE + 1)
    theirs, levels = _hashes(known), known.reshape(-1, _SIDE * (_SIDE + 1)).astype(np.int16)
    for start in range(0, len(some), _AT_ONCE):
        batch = np.stack(some[start : start + _AT_ONCE])
        close = np.bitwise_count(_hashes(batch)[:, None] ^ theirs) <= _MOST_BITS
        for own, near in zip(batch, close, strict=True):
            candidates = np.flatnonzero(near)
            off = np.abs(levels[candidates] - own.reshape(-1).astype(np.int16)).mean(1)
            good = len(off) and off.min() <= _MOST_LEVELS
            yield int(candidates[off.argmin()]) if good else -1


def _hashes(small: Outline) -> NDArray[np.uint64]:
    """(N, 8, 9) to (N,)."""
    bits = (small[:, :, :-1] > small[:, :, 1:]).reshape(-1, _SIDE * _SIDE)
    packed: NDArray[np.uint64] = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
    return packed


def _small(image: Image.Image) -> Outline:
    return np.asarray(image.convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.BOX))


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
