"""What tells whether two samples are the same, or nearly."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.data import picture

_SIDE = 8
_READ_AT = 64
_MOST_BITS = 6
_MOST_LEVELS = 6.0
_AT_ONCE = 256


class Likeness(NamedTuple):
    """Of one sample."""

    digest: bytes
    """Equal for copies; of a text without its case and spaces."""
    small: NDArray[np.uint8] | None = None
    """Of a picture: (8, 9), in grey."""


def of_file(path: Path) -> Likeness:
    """Of a picture. Raises `picture.Unreadable`."""
    image = picture.read(path, at_least=_READ_AT)
    return Likeness(_digest(path.read_bytes()), _small(image))


def of_image(image: Image.Image) -> Likeness:
    return Likeness(_digest(image.tobytes()), _small(image))


def of_text(text: str) -> Likeness:
    return Likeness(_digest(" ".join(text.casefold().split()).encode(errors="surrogateescape")))


def nearest(some: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(N, 8, 9) and (M, 8, 9) to (N,): of each of `some` the position in `others` of the picture
    that is nearly the same, or -1.

    Their difference hashes differ by six bits at most (dHash, N. Krawetz 2013: whether each pixel
    is brighter than the one beside it, 64 bits); as flat pictures have no bits to tell them apart,
    their grey levels do, too: by six of 256 on average at most.
    """
    found = np.full(len(some), -1, np.int64)
    if not len(others):
        return found
    theirs, levels = _hashes(others), others.reshape(len(others), -1).astype(np.int16)
    for start in range(0, len(some), _AT_ONCE):
        hashes = _hashes(some[start : start + _AT_ONCE])
        close = np.bitwise_count(hashes[:, None] ^ theirs) <= _MOST_BITS
        for row in np.flatnonzero(close.any(1)):
            candidates = np.flatnonzero(close[row])
            own = some[start + row].reshape(-1).astype(np.int16)
            off = np.abs(levels[candidates] - own).mean(1)
            if off.min() <= _MOST_LEVELS:
                found[start + row] = candidates[off.argmin()]
    return found


def _hashes(small: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """(N, 8, 9) to (N,)."""
    bits = (small[:, :, :-1] > small[:, :, 1:]).reshape(len(small), -1)
    packed: NDArray[np.uint64] = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
    return packed


def _small(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.BOX))


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
