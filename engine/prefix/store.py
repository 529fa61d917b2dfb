"""Rows of samples by their numbers, in memory or, where that is short, in a file."""

import math
import mmap
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile

import torch
from torch import Tensor
from torch.nn import functional as F

from engine import memory

_PART = 0.5
"""Of the free memory, or of the free disk, that a column may take."""


class NoRoom(Exception):  # noqa: N818 - a finding
    """Neither memory nor the disk has room; says so in a few words."""


class Store:
    """A column for each name, a row for each sample.

    Where texts differ in length, a column is as long as the longest so far, on whichever axis.
    """

    def __init__(self, samples: int, folder: Path) -> None:
        """Rows for so many samples; a file would be in `folder`, and is gone with the process."""
        self._samples, self._folder = samples, folder
        self._columns: dict[str, Tensor] = {}
        self._there: set[int] = set()
        self.on_disk = False

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(column.nbytes for column in self._columns.values())

    def __len__(self) -> int:
        return len(self._there)

    def known(self, numbers: Iterable[int]) -> list[int]:
        """Those of the samples that have rows."""
        return [number for number in numbers if number in self._there]

    def put(self, numbers: Sequence[int], rows: Mapping[str, Tensor]) -> None:
        """Raises `NoRoom`."""
        where = torch.tensor(numbers, dtype=torch.int64)
        for name, tensor in rows.items():
            column, shape = self._columns.get(name), tensor.shape[1:]
            if column is not None:
                shape = torch.Size(map(max, column.shape[1:], shape))
            if column is None or column.shape[1:] != shape:
                grown = self._room((self._samples, *shape), tensor.dtype)
                if column is not None:
                    grown[tuple(map(slice, column.shape))] = column
                column = self._columns[name] = grown
            column[where] = resized(tensor, shape).to("cpu")
        self._there.update(numbers)

    def rows(
        self, numbers: Sequence[int], shapes: Mapping[str, Sequence[int]]
    ) -> dict[str, Tensor]:
        """Those of some samples; `shapes` says what a sample's row is to be `resized` to."""
        where = torch.tensor(numbers, dtype=torch.int64)
        found = {name: column[where] for name, column in self._columns.items()}
        return found | {name: resized(found[name], shape) for name, shape in shapes.items()}

    def _room(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Zeros. Memory is written to at once: what was only promised would count as free when the
        next column asks."""
        size = math.prod(shape) * dtype.itemsize
        if size <= _PART * memory.free():
            return torch.empty(shape, dtype=dtype).zero_()
        try:
            if size > _PART * shutil.disk_usage(self._folder).free:
                raise OSError
            with TemporaryFile(dir=self._folder) as file:
                if hasattr(os, "posix_fallocate"):  # a hole in it would be a SIGBUS later
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    file.truncate(size)
                mapped = mmap.mmap(file.fileno(), size)
        except OSError as error:
            needed = f"it takes {size / 2**30:.1f} GiB"
            raise NoRoom(f"{needed}, which neither memory nor the disk has to spare") from error
        self.on_disk = True
        return torch.frombuffer(mapped, dtype=dtype).view(shape)


def resized(rows: Tensor, shape: Sequence[int]) -> Tensor:
    """Cut on each axis of a row, or filled up with zeros behind its end: padding, which is
    masked."""
    cut = rows[(slice(None), *map(slice, shape))]
    missing = [wanted - there for wanted, there in zip(shape, cut.shape[1:], strict=True)]
    return F.pad(cut, [x for count in reversed(missing) for x in (0, count)])
