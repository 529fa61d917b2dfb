"""`run.lock`: held by the living worker, free the moment that it is gone, however it went.

A `flock`, so the kernel lets go of it when the last process with the open file ends. Over NFS,
Linux passes it to the server: a worker on another host counts as living as long as its client
holds the lease, unless the mount says `local_lock=flock`.

The file's text is the size that the journal had when the lock was taken: while it still has that
size, the newest worker has not said a word.
"""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from engine.contract.errors import UserError
from engine.contract.text import plain
from engine.runs.journal import EVENTS

LOCK = "run.lock"
LOCK_FD = "FTUI_LOCK_FD"
"""Environment variable with the number of the descriptor that `launch` hands to the worker."""

_TRIES = 50
_SECONDS_BETWEEN_TRIES = 0.01


class Hold(NamedTuple):
    """What the lock tells of the newest worker."""

    held: bool
    """Whether it lives."""
    silent: bool
    """Whether the journal holds nothing of it yet."""


def look(folder: Path) -> Hold:
    """The state of the lock now. To conclude from a free lock, read the journal afterwards."""
    held = False
    try:
        fd = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return Hold(held=False, silent=False)
    try:
        with suppress(OSError):  # no locks here, so no worker either
            held = not _try(fd, fcntl.LOCK_SH)
        size_when_taken = os.read(fd, 32)
    finally:
        os.close(fd)
    return Hold(held, silent=size_when_taken == str(_journal_size(folder)).encode())


def take(folder: Path) -> int:
    """The descriptor of the lock, now ours.

    Raises `UserError` where a worker has it or the file system knows no locks.
    """
    fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait(fd, folder)
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(_journal_size(folder)).encode(), 0)
    except BaseException:
        os.close(fd)
        raise
    return fd


def inherit(folder: Path) -> int:
    """The worker's lock: the one that `launch` handed over, or else a new one.

    Raises `UserError` where another worker has it. Child processes must not keep it: close the
    descriptor after a fork; it is closed by itself on exec.
    """
    handed = os.environ.pop(LOCK_FD, "")
    if not handed:
        return take(folder)
    os.set_inheritable(int(handed), False)
    return int(handed)


def _wait(fd: int, folder: Path) -> None:
    try:
        for _ in range(_TRIES):  # somebody's `look` holds it for microseconds
            if _try(fd, fcntl.LOCK_EX):
                return
            time.sleep(_SECONDS_BETWEEN_TRIES)
    except OSError as error:
        raise UserError(
            f"{plain(folder)}: this file system can't lock files ({error.strerror}), which runs "
            "need; --runs-dir puts them elsewhere."
        ) from None
    raise UserError(f"{plain(folder.name)}: a worker is on this run already.")


def _try(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _journal_size(folder: Path) -> int:
    try:
        return (folder / EVENTS).stat().st_size
    except FileNotFoundError:
        return 0
