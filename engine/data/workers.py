"""The processes that read pictures, and how they behave beside the one that trains."""

import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from engine.contract.errors import UserError

Key = TypeVar("Key")
Batch = TypeVar("Batch")

# Forked readers start at once and share the imports; macOS can't fork safely.
_START = "fork" if sys.platform == "linux" else "spawn"


def auto_workers(device_type: str) -> int:
    """How many reading processes `workers = "auto"` means for a device ('cpu', 'cuda', 'mps').

    None for a CPU, where they would only take cores from training; else one a core but one, at
    most 8.
    """
    if device_type == "cpu":
        return 0
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min(8, cores - 1))


class ReadingPool(Generic[Key, Batch]):
    """Reads `batches[key]` for the keys asked for, in their order, in `workers` processes.

    The processes start with the first `read` and stay until `close`.
    """

    def __init__(
        self, batches: Dataset[Batch], workers: int, pin_memory: bool, close_fds: Sequence[int]
    ) -> None:
        self._keys: list[Key] = []
        self._loader: DataLoader[Batch] | None = DataLoader(
            batches,
            batch_size=None,  # a key is a whole batch
            sampler=_Asked(self._keys),
            collate_fn=_as_it_is,
            num_workers=workers,
            pin_memory=pin_memory,
            persistent_workers=True,
            multiprocessing_context=_START,
            worker_init_fn=partial(_start_reader, tuple(close_fds) if _START == "fork" else ()),
            generator=torch.Generator(),  # else it would draw from the global one
        )

    def read(self, keys: Iterable[Key]) -> Iterator[Batch]:
        """Raises `UserError` where a reading process died."""
        assert self._loader is not None, "closed"
        self._keys[:] = keys
        try:
            yield from self._loader
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise UserError(
                "a process that reads pictures died, most likely for want of memory or of space "
                "in /dev/shm; set data.workers lower, or to 0"
            ) from error

    def close(self) -> None:
        """End the processes."""
        self._loader = None


class _Asked(Generic[Key]):
    """The keys as they are when reading begins; the loader wants one object for all epochs."""

    def __init__(self, keys: list[Key]) -> None:
        self._keys = keys

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._keys))

    def __len__(self) -> int:
        return len(self._keys)


def _as_it_is(batch: Batch) -> Batch:
    return batch


def _start_reader(close_fds: Sequence[int], worker: int) -> None:
    """Leave stopping to the training process, whose signals come to the whole group: it ends the
    readers when it has finished its step, and they see it when it dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for fd in close_fds:
        os.close(fd)
