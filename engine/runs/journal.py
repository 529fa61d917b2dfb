"""The two append-only files of a run, written and read so that no crash can spoil them.

A line counts once its newline is there. A writer that died in mid-line leaves a torn one; the next
writer puts a newline behind it, so that it stands alone as a line that decodes to nothing.
"""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from engine.contract.codec import decode_command, decode_event, encode
from engine.contract.commands import AnyCommand
from engine.contract.errors import UserError
from engine.contract.events import AnyEvent, Event
from engine.contract.text import plain

T = TypeVar("T")

EVENTS = "events.jsonl"
COMMANDS = "commands.jsonl"

_DISK_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE}
_CHUNK = 256 * 1024
_LONGEST_LINE = 16 * 1024 * 1024
_SECONDS_BETWEEN_LOOKS = 0.02


class Journal:
    """The worker's end of `events.jsonl`: one event a line, one write a line.

    While the disk refuses (full, over quota, gone for a while) lines are kept in memory and tried
    again, in order, with each further append.
    """

    def __init__(self, folder: Path) -> None:
        self._fd = _open_for_append(folder / EVENTS)
        self._unwritten = bytearray() if _ends_whole(self._fd) else bytearray(b"\n")

    @property
    def unwritten(self) -> int:
        """Bytes that the disk has not taken yet."""
        return len(self._unwritten)

    def append(self, event: Event) -> None:
        """Write one line; never raises for a full disk."""
        self._unwritten += encode(event)
        self._flush()

    def sync(self) -> None:
        """Return once all that the disk takes is on it; for checkpoints and ends."""
        self._flush()
        try:
            os.fsync(self._fd)
        except OSError as error:
            _raise_unless_disk_trouble(error)

    def close(self) -> None:
        self.sync()
        os.close(self._fd)

    def _flush(self) -> None:
        while self._unwritten:
            try:
                written = os.write(self._fd, self._unwritten)
            except OSError as error:
                _raise_unless_disk_trouble(error)
                return
            del self._unwritten[:written]


class Lines:
    """Complete lines of a file that others append to, each once.

    The file may appear later. One that was truncated or replaced is read from its start, and
    `restarts` counts that. Memory is bounded: lines over 16 MiB are passed over. Raises `UserError`
    where the file is there and can't be read.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self._offset = offset
        self._file_id: tuple[int, int] | None = None
        self._torn = b""
        self._too_long = False
        self.restarts = 0

    def chunk(self) -> list[bytes]:
        """Some of the lines that have come since, without newlines; none once all are read."""
        try:
            with self._path.open("rb", buffering=0) as file:
                self._restart_if_replaced(os.fstat(file.fileno()))
                file.seek(self._offset)
                while data := file.read(_CHUNK):
                    self._offset += len(data)
                    if lines := self._split(data):
                        return lines
        except FileNotFoundError:
            pass
        except OSError as error:
            raise UserError(f"{plain(self._path)}: it can't be read ({error.strerror}).") from None
        return []

    def _split(self, data: bytes) -> list[bytes]:
        *lines, self._torn = (self._torn + data).split(b"\n")
        if self._too_long and lines:  # this is where the long line ends
            del lines[0]
            self._too_long = False
        if len(self._torn) > _LONGEST_LINE:
            self._torn, self._too_long = b"", True
        return lines

    def _restart_if_replaced(self, status: os.stat_result) -> None:
        file_id = status.st_dev, status.st_ino
        replaced = self._file_id not in (None, file_id) or status.st_size < self._offset
        self._file_id = file_id
        if replaced:
            self._offset, self._torn, self._too_long = 0, b"", False
            self.restarts += 1


class Tail(Generic[T]):
    """The messages in a file of lines, each once; lines that don't decode are passed over."""

    def __init__(self, path: Path, decode: Callable[[bytes], T], offset: int = 0) -> None:
        self._lines = Lines(path, offset)
        self._decode = decode
        self.invalid = 0
        """Lines passed over so far: torn ones, and words of a newer version."""

    @property
    def restarts(self) -> int:
        """How often the file was truncated or replaced, and so read from its start."""
        return self._lines.restarts

    def chunk(self) -> list[T]:
        """Some of the messages that have come since; none once all are read."""
        while lines := self._lines.chunk():
            if messages := self._decoded(lines):
                return messages
        return []

    def read(self) -> list[T]:
        """All messages that have come since the last call."""
        messages: list[T] = []
        while chunk := self.chunk():
            messages += chunk
        return messages

    def _decoded(self, lines: list[bytes]) -> list[T]:
        messages: list[T] = []
        for line in lines:
            try:
                messages.append(self._decode(line))
            except (ValueError, RecursionError):
                self.invalid += bool(line)
        return messages


def event_tail(folder: Path, offset: int = 0) -> Tail[AnyEvent]:
    """A tail of the run's journal."""
    return Tail(folder / EVENTS, decode_event, offset)


class Inbox:
    """The worker's end of `commands.jsonl`: each command once, those in `answered` never."""

    def __init__(self, folder: Path, answered: Iterable[str] = ()) -> None:
        self._tail = Tail(folder / COMMANDS, decode_command)
        self._seen = set(answered)
        self._next_look = 0.0

    def drain(self, now: bool = False) -> list[AnyCommand]:
        """The commands that have come since.

        The file is looked at no more than every 20 ms, or at once with `now`.
        """
        if not now and time.monotonic() < self._next_look:
            return []
        self._next_look = time.monotonic() + _SECONDS_BETWEEN_LOOKS
        fresh: list[AnyCommand] = []
        for command in self._tail.read():
            if command.id not in self._seen:
                self._seen.add(command.id)
                fresh.append(command)
        return fresh


class Outbox:
    """The world's end of `commands.jsonl`; any number of processes may append."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / COMMANDS

    def append(self, command: AnyCommand) -> None:
        """Raises `UserError` where the file can't be written."""
        try:
            fd = _open_for_append(self._path)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                line = encode(command) if _ends_whole(fd) else b"\n" + encode(command)
                while line:
                    line = line[os.write(fd, line) :]
            finally:
                os.close(fd)
        except OSError as error:
            raise UserError(
                f"{plain(self._path)}: the command can't be written ({error.strerror})."
            ) from None


def _open_for_append(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _ends_whole(fd: int) -> bool:
    size = os.fstat(fd).st_size
    return size == 0 or os.pread(fd, 1, size - 1) == b"\n"


def _raise_unless_disk_trouble(error: OSError) -> None:
    if error.errno not in _DISK_TROUBLE:
        raise error
