"""Pictures kept in memory once they are decoded, for all processes that read."""

import math
import mmap
import multiprocessing
from typing import Any

import numpy as np
from numpy.typing import NDArray

_AXES = 3


class Kept:
    """Bytes of pictures, three axes each, by a number below `count`; as many as a budget holds.

    First come, first kept: an epoch asks once for each, so that none is worth more than another.
    Memory is taken as pictures come. Processes that are forked off share it, and see what any of
    them puts in; ones that are spawned have none.
    """

    def __init__(self, count: int, budget: int) -> None:
        self._count = count
        try:
            shared = mmap.mmap(-1, budget) if budget > 0 else None
        except OSError:  # a system that promises no memory that it may not have
            shared = None
        if shared is None:
            self._bytes = np.empty(0, np.uint8)
            return
        self._bytes = np.frombuffer(shared, np.uint8)
        table = mmap.mmap(-1, (count + 1) * (1 + _AXES) * 8)
        self._table = np.frombuffer(table, np.int64).reshape(-1, 1 + _AXES)
        """Of each where it begins, and its shape; at the end how many bytes are taken."""
        self._lock = multiprocessing.get_context("fork").Lock()

    def __reduce__(self) -> tuple[type["Kept"], tuple[int, int]]:
        return Kept, (self._count, 0)

    def get(self, number: int) -> NDArray[np.uint8] | None:
        """Not to be written to."""
        if not len(self._bytes):
            return None
        with self._lock:
            start, *shape = self._table[number].tolist()
        size = math.prod(shape)
        return self._bytes[start : start + size].reshape(shape) if size else None

    def put(self, number: int, pixels: NDArray[Any]) -> None:
        """Nothing is done where there is no room."""
        if not len(self._bytes):
            return
        with self._lock:
            start = int(self._table[-1, 0])
            if start + pixels.size > len(self._bytes):
                return
            self._table[-1, 0] += pixels.size
        self._bytes[start : start + pixels.size].reshape(pixels.shape)[...] = pixels
        with self._lock:  # only now that all of it is there
            self._table[number] = (start, *pixels.shape)
