"""Many paths in little memory."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np


class PackedPaths:
    """A sequence of paths in flat arrays.

    Forked readers would copy a list of objects, page by page, as they touch it.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        encoded = [str(path).encode(errors="surrogateescape") for path in paths]
        self._bytes = b"".join(encoded)
        self._ends = np.cumsum([0, *map(len, encoded)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, position: int) -> Path:
        start, end = self._ends[position : position + 2]
        return Path(self._bytes[start:end].decode(errors="surrogateescape"))
