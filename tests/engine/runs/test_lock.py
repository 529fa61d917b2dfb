"""The lock: real flocks, held over processes."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.contract import events as e
from engine.contract.errors import UserError
from engine.runs import lock
from engine.runs.journal import Journal

FREE = lock.Hold(held=False, silent=False)


def test_a_folder_without_a_lock_is_free(tmp_path: Path) -> None:
    assert lock.look(tmp_path) == FREE


def test_a_worker_is_silent_until_its_first_event(tmp_path: Path) -> None:
    held = lock.take(tmp_path)
    assert lock.look(tmp_path) == lock.Hold(held=True, silent=True)
    Journal(tmp_path).append(e.Warned(message="here"))
    assert lock.look(tmp_path) == lock.Hold(held=True, silent=False)
    os.close(held)
    assert lock.look(tmp_path) == FREE


def test_the_next_worker_is_silent_again(tmp_path: Path) -> None:
    os.close(lock.take(tmp_path))
    Journal(tmp_path).append(e.Warned(message="x" * 1000))
    held = lock.take(tmp_path)
    assert lock.look(tmp_path).silent
    os.close(held)


def test_a_second_worker_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_TRIES", 2)
    held = lock.take(tmp_path)
    with pytest.raises(UserError, match="already"):
        lock.take(tmp_path)
    os.close(held)
    os.close(lock.take(tmp_path))


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as Lustre mounted without them: a run can be looked at there, not started."""
    os.close(lock.take(tmp_path))

    def unknown(_fd: int, _kind: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unknown)
    assert not lock.look(tmp_path).held
    with pytest.raises(UserError, match=r"can't lock files .*--runs-dir"):
        lock.take(tmp_path)


def test_looking_does_not_disturb_taking(tmp_path: Path) -> None:
    os.close(lock.take(tmp_path))
    code = (
        "import sys; from pathlib import Path; from engine.runs import lock\n"
        "print('looking', flush=True)\n"
        "while True: lock.look(Path(sys.argv[1]))"
    )
    looker = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE)
    assert looker.stdout
    looker.stdout.readline()
    for _ in range(200):
        os.close(lock.take(tmp_path))
    looker.kill()
    looker.communicate()


def test_a_worker_that_was_handed_no_lock_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(lock.LOCK_FD, raising=False)
    held = lock.inherit(tmp_path)
    assert lock.look(tmp_path).held
    os.close(held)


def test_a_handed_lock_is_not_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = lock.take(tmp_path)
    os.set_inheritable(held, True)
    monkeypatch.setenv(lock.LOCK_FD, str(held))
    assert lock.inherit(tmp_path) == held
    assert not os.get_inheritable(held)
    assert lock.LOCK_FD not in os.environ
    os.close(held)
