"""The processes that read pictures, and how they behave beside the one that trains."""

import atexit
import math
import os
import signal
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from typing import Any, Generic, Protocol, TypeVar, cast

import torch
from torch.utils.data import DataLoader, Dataset

from engine import cores
from engine.contract.errors import UserError
from engine.contract.events import Event

Key = TypeVar("Key")
KeyIn = TypeVar("KeyIn", contravariant=True)
BatchOut = TypeVar("BatchOut", covariant=True)
Batch = TypeVar("Batch", bound="Shareable")


class Shareable(Protocol):
    def share_memory_(self) -> None:
        """Move the tensors to shared memory. Raises `RuntimeError` where there is no space."""


# Forked readers start at once and share the imports; macOS can't fork safely.
_START = "fork" if sys.platform == "linux" else "spawn"
_SPARED = 0.05
"""Of a step and its reading, that processes must spare."""


def most_workers(device_type: str, threads: int) -> int:
    """How many reading processes there is room for beside a device ('cpu', 'cuda', 'mps').

    One a core that training leaves, which on a CPU has so many threads; at most 8.
    """
    there = len(cores.usable())
    return min(8, max(0, there - threads) if device_type == "cpu" else max(1, there - 1))


def workers_for(reading: float, using: float, most: int) -> int:
    """How many have batches ready in time, where one takes so long to read and to train on.

    None where training would hardly end earlier: their memory is better saved.
    """
    if reading < _SPARED * (reading + using):
        return 0
    return min(most, math.ceil(reading / using)) if using else most


@dataclass(frozen=True)
class Feeding:
    """How batches get to the process that trains."""

    workers: int = 0
    """Processes that read; 0: the one that trains does."""
    up_to: int = 0
    """Without any, this many may come to read once it was measured that training waits for them."""
    wait: Callable[[], None] = lambda: None
    """Until the device has done what it was given, so that a measured time is all of it."""
    pin_memory: bool = False
    keep: int = 0
    """Bytes of decoded pictures that may stay in memory, of training and of validation each."""
    close_fds: Sequence[int] = ()
    """Closed in the processes that read: they must not hold a run's lock."""
    tell: Callable[[Event], None] = lambda _: None
    """Hears what goes on while data is made ready for the model."""


class Keyed(Protocol[KeyIn, BatchOut]):
    def __getitem__(self, key: KeyIn, /) -> BatchOut: ...


class ReadingPool(Generic[Key, Batch]):
    """Reads `batches[key]` for the keys asked for, in their order, in processes of their own.

    The processes start with the first `read` and stay until `close`.
    """

    def __init__(self, batches: Keyed[Key, Batch], feeding: Feeding) -> None:
        self._keys: list[Key] = []
        self._loader: DataLoader[Batch] = DataLoader(
            cast("Dataset[Batch]", batches),
            batch_size=None,  # a key is a whole batch
            sampler=_Asked(self._keys),
            collate_fn=_shared,
            num_workers=feeding.workers,
            pin_memory=feeding.pin_memory,
            persistent_workers=True,
            multiprocessing_context=_START,
            worker_init_fn=partial(_let_go, tuple(feeding.close_fds) if _START == "fork" else ()),
            generator=torch.Generator(),  # else it would draw from the global one
        )
        self._iterator: Any = None

    def read(self, keys: Iterable[Key]) -> Iterator[Batch]:
        """Raises `UserError` where a reading process died."""
        self._keys[:] = keys
        try:
            yield from self._started()
        except (RuntimeError, OSError, EOFError) as error:
            if not self._reader_died() and "shared memory" not in str(error):
                raise
            raise UserError(
                "the processes that read pictures broke off, most likely for want of memory or of "
                "space in /dev/shm; set data.workers lower, or to 0"
            ) from error

    def close(self) -> None:
        """End the processes."""
        if self._iterator is not None:
            self._iterator._shutdown_workers()  # no public way; dropping it fails in tracebacks
            self._iterator = None

    def _reader_died(self) -> bool:
        if self._iterator is None:  # the system gave no more processes
            return True
        # one that is being killed closes its pipes a moment before it ends
        return bool(wait([process.sentinel for process in self._iterator._workers], timeout=1))

    def _started(self) -> Iterator[Batch]:
        first = self._iterator is None
        with _signals_left_to_training():
            self._iterator = iterator = iter(self._loader)  # one object for life, rewound each time
        if first:
            # Python's exit would wait for the readers for ever, as they don't hear its SIGTERM.
            # Registered after they started: the last to be registered is the first to be called.
            atexit.register(_close, weakref.ref(self))
        return iterator


@contextmanager
def _signals_left_to_training() -> Iterator[None]:
    """Readers started within never see SIGINT and SIGTERM, also where they come to the whole group:
    the training process finishes its step and ends them. And torch's handler of SIGCHLD, which
    raises wherever training happens to be when a reader dies, is taken out again: `read` raises."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    handler = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGCHLD) is not handler:
            signal.signal(signal.SIGCHLD, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _close(pool: "weakref.ref[ReadingPool[Key, Batch]]") -> None:
    if (alive := pool()) is not None:
        alive.close()


class _Asked(Generic[Key]):
    """The keys as they are when reading begins; the loader wants one object for all epochs."""

    def __init__(self, keys: list[Key]) -> None:
        self._keys = keys

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._keys))

    def __len__(self) -> int:
        return len(self._keys)


def _shared(batch: Batch) -> Batch:
    """In the reader: else sharing happens in a thread of the queue, where a failure for want of
    space is only printed, and the training process waits for the batch for ever."""
    batch.share_memory_()
    return batch


def _let_go(fds: Sequence[int], worker: int) -> None:
    for fd in fds:
        os.close(fd)
