"""The two files: no torn line, full disk or odd split of the stream loses or invents a message."""

import errno
import os
from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.codec import encode
from engine.contract.errors import UserError
from engine.runs import journal as module
from engine.runs.journal import COMMANDS, EVENTS, Inbox, Journal, Lines, Outbox, event_tail


def warned(number: int) -> e.Warned:
    return e.Warned(message=f"{number} ä", time=float(number))


STREAM = b"".join(encode(warned(n)) for n in range(6))


def test_events_come_back_in_order(tmp_path: Path) -> None:
    journal, tail = Journal(tmp_path), event_tail(tmp_path)
    assert tail.read() == []
    journal.append(warned(1))
    assert tail.read() == [warned(1)]
    journal.append(warned(2))
    journal.append(warned(3))
    assert tail.read() == [warned(2), warned(3)]
    assert tail.read() == []


def test_the_journal_is_private(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    assert (tmp_path / EVENTS).stat().st_mode & 0o777 == 0o600


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_any_split_of_the_stream_gives_the_same_events(
    cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("split")
    tail, found = event_tail(folder), []
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, end in pairwise(edges):
        with (folder / EVENTS).open("ab") as file:
            file.write(STREAM[start:end])
        found += tail.read()
    assert found == [warned(n) for n in range(6)]
    assert tail.invalid == 0


@given(cut=st.integers(0, len(STREAM)))
def test_a_journal_cut_anywhere_is_a_prefix_and_can_be_continued(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    (folder / EVENTS).write_bytes(STREAM[:cut])
    tail = event_tail(folder)
    before = tail.read()
    whole = STREAM[:cut].count(b"\n")
    assert before == [warned(n) for n in range(whole)]

    Journal(folder).append(warned(99))
    after = tail.read()
    torn_but_complete = STREAM[cut : cut + 1] == b"\n"  # only its newline was missing
    assert after == [*([warned(whole)] if torn_but_complete else []), warned(99)]
    assert event_tail(folder).read() == before + after


def test_lines_that_are_no_events_are_counted_and_passed_over(tmp_path: Path) -> None:
    bad = [b"{", b'{"event":"Unheard"}', b"\xff", b"null", b"[" * 5000, b""]
    (tmp_path / EVENTS).write_bytes(b"\n".join([*bad, encode(warned(1)), b""]))
    tail = event_tail(tmp_path)
    assert tail.read() == [warned(1)]
    assert tail.invalid == 5  # the empty one is nothing


def test_a_tail_can_begin_before_the_file(tmp_path: Path) -> None:
    tail = event_tail(tmp_path)
    assert tail.read() == []
    Journal(tmp_path).append(warned(1))
    assert tail.read() == [warned(1)]


def test_a_truncated_file_is_read_anew(tmp_path: Path) -> None:
    tail = event_tail(tmp_path)
    (tmp_path / EVENTS).write_bytes(STREAM + b'{"torn')
    assert len(tail.read()) == 6
    (tmp_path / EVENTS).write_bytes(encode(warned(7)))
    assert tail.read() == [warned(7)]
    assert tail.restarts == 1


def test_a_replaced_file_is_read_anew(tmp_path: Path) -> None:
    tail = event_tail(tmp_path)
    (tmp_path / EVENTS).write_bytes(STREAM)
    tail.read()
    (tmp_path / "new").write_bytes(STREAM + STREAM)
    (tmp_path / "new").replace(tmp_path / EVENTS)
    assert len(tail.read()) == 12
    assert tail.restarts == 1


def test_a_large_file_comes_in_chunks(tmp_path: Path) -> None:
    many = [warned(n) for n in range(20_000)]
    (tmp_path / EVENTS).write_bytes(b"".join(map(encode, many)))
    tail, chunks = event_tail(tmp_path), []
    while chunk := tail.chunk():
        chunks.append(chunk)
    assert [*chain(*chunks)] == many
    assert max(map(len, chunks)) < 10_000


def test_an_endless_line_takes_no_endless_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LONGEST_LINE", 1000)
    monkeypatch.setattr(module, "_CHUNK", 300)
    (tmp_path / "file").write_bytes(b"first\n" + b"x" * 5000 + b"\nlast\n")
    lines, found = Lines(tmp_path / "file"), []
    while chunk := lines.chunk():
        found += chunk
    assert found == [b"first", b"last"]


class FullDisk:
    """`os.write` on a disk with `room` bytes left: writes what fits, then ENOSPC."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._write = os.write

    def __call__(self, fd: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(fd, bytes(data[: self.room]))
        self.room -= written
        return written


@given(rooms=st.lists(st.integers(0, 150), min_size=6, max_size=6))
def test_a_full_disk_loses_nothing(
    rooms: Sequence[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("full")
    journal, tail, found = Journal(folder), event_tail(folder), []
    with pytest.MonkeyPatch.context() as patch:
        disk = FullDisk(0)
        patch.setattr(os, "write", disk)
        for number, room in enumerate(rooms):
            disk.room = room
            journal.append(warned(number))
            found += tail.read()
            assert found == [warned(n) for n in range(len(found))]
    journal.sync()
    assert journal.unwritten == 0
    assert (folder / EVENTS).read_bytes() == STREAM
    assert found + tail.read() == [warned(n) for n in range(6)]


def test_other_trouble_with_the_journal_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)

    def refuse(_fd: int, _data: bytes) -> int:
        raise OSError(errno.EBADF, "bad")

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(OSError, match="bad"):
        journal.append(warned(1))


def test_commands_reach_the_inbox_once(tmp_path: Path) -> None:
    inbox, outbox = Inbox(tmp_path), Outbox(tmp_path)
    assert inbox.drain(now=True) == []
    sent = [c.Pause(), c.SetLearningRate(0.1), c.Resume()]
    for command in sent:
        outbox.append(command)
    outbox.append(sent[0])
    assert inbox.drain(now=True) == sent
    assert inbox.drain(now=True) == []


def test_answered_commands_are_not_obeyed_again(tmp_path: Path) -> None:
    old, new = c.Stop(), c.Pause()
    for command in (old, new):
        Outbox(tmp_path).append(command)
    assert Inbox(tmp_path, answered=[old.id]).drain() == [new]


def test_an_inbox_looks_at_most_every_20_ms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    inbox = Inbox(tmp_path)
    assert inbox.drain() == []
    Outbox(tmp_path).append(c.Pause())
    now[0] += 0.019
    assert inbox.drain() == []
    now[0] += 0.002
    assert len(inbox.drain()) == 1


def test_a_torn_command_spoils_only_itself(tmp_path: Path) -> None:
    (tmp_path / COMMANDS).write_bytes(b'{"command":"Sto')
    pause = c.Pause()
    Outbox(tmp_path).append(pause)
    assert Inbox(tmp_path).drain() == [pause]


def test_a_command_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be written"):
        Outbox(tmp_path / "missing").append(c.Pause())


def test_a_name_that_utf8_cannot_say_is_still_told(tmp_path: Path) -> None:
    Journal(tmp_path).append(e.FileSkipped(path="a\udcff.jpg", reason="broken"))
    [event] = event_tail(tmp_path).read()
    assert isinstance(event, e.FileSkipped)
    assert event.path == "a?.jpg"
