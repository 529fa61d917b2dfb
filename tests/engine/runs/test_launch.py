"""Workers as real processes: detached, private, and locked from the first moment."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.runs import lock, logout, store
from engine.runs.journal import event_tail
from engine.runs.launch import launch
from tests.engine.runs.conftest import WORKERS, kill, wait_until, wait_until_free


@pytest.fixture
def folder(config: Config, runs: Path) -> Path:
    return store.create(config, runs)


def test_a_worker_is_preparing_before_its_first_word(folder: Path) -> None:
    launch(folder, module="waits")
    assert store.state_of(folder)[1] == "preparing"
    (folder / "go").touch()
    wait_until(lambda: store.state_of(folder)[1] == "running")


def test_a_killed_worker_is_crashed_at_once(folder: Path) -> None:
    pid = launch(folder, module="speaker")
    wait_until(lambda: store.state_of(folder)[0].step > 3)
    process = psutil.Process(pid)
    kill(pid)
    process.wait()
    [summary] = store.summaries(folder.parent)
    assert (summary.state, summary.error) == ("crashed", "")


def test_a_worker_that_dies_at_import_leaves_its_last_words(folder: Path) -> None:
    launch(folder, module="dies_at_import")
    wait_until_free(folder)
    [summary] = store.summaries(folder.parent)
    assert (summary.state, summary.step) == ("crashed", 0)
    assert summary.error == "ImportError: no module named torch"


def test_a_worker_is_on_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    worker = psutil.Process(launch(folder, module="speaker"))
    wait_until(lambda: store.state_of(folder)[0].step > 0)
    assert os.getsid(worker.pid) == worker.pid
    assert worker.cmdline()[-1] == str(folder)
    assert worker.cwd() == str(folder.parent)
    assert worker.environ()[lock.LOCK_FD]
    assert (folder / "events.jsonl").stat().st_mode & 0o777 == 0o600
    assert (folder / "worker.log").stat().st_mode & 0o777 == 0o600


def test_a_worker_outlives_the_process_that_launched_it(folder: Path) -> None:
    """The launcher's whole session is hung up and killed, as a closed terminal does."""
    code = (
        "import sys, time; from pathlib import Path; from engine.runs.launch import launch\n"
        "print(launch(Path(sys.argv[1]), module='speaker'), flush=True); time.sleep(1000)"
    )
    launcher = subprocess.Popen(
        [sys.executable, "-c", code, folder], stdout=subprocess.PIPE, start_new_session=True
    )
    assert launcher.stdout
    pid = int(launcher.stdout.readline())
    wait_until(lambda: store.state_of(folder)[0].step > 0)
    os.killpg(launcher.pid, signal.SIGHUP)
    os.killpg(launcher.pid, signal.SIGKILL)
    launcher.communicate()
    reached = store.state_of(folder)[0].step
    wait_until(lambda: store.state_of(folder)[0].step > reached)
    assert store.state_of(folder)[1] == "running"
    kill(pid)


def test_two_workers_are_never_on_one_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_TRIES", 2)
    launch(folder, module="waits")
    with pytest.raises(UserError, match="already"):
        launch(folder, module="speaker")


def test_the_lock_lives_as_long_as_the_worker(folder: Path) -> None:
    pid = launch(folder, module="waits")
    assert lock.look(folder).held
    kill(pid)
    wait_until_free(folder)


def test_no_zombie_is_left(folder: Path) -> None:
    pid = launch(folder, module="waits")
    kill(pid)
    wait_until(lambda: not psutil.pid_exists(pid))


def test_a_module_in_the_current_folder_is_not_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "speaker.py").write_text("print('an impostor')")
    monkeypatch.chdir(tmp_path)
    launch(folder, module="speaker")
    wait_until(lambda: store.state_of(folder)[0].step > 0)
    assert WORKERS.exists()
    assert "impostor" not in (folder / "worker.log").read_text()


def test_a_folder_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no worker can be started"):
        launch(tmp_path / "gone")


def test_the_log_says_when_each_worker_began(folder: Path) -> None:
    for _ in range(2):
        launch(folder, module="dies_at_import")
        wait_until_free(folder)
    assert (folder / "worker.log").read_text().count(store.LOG_HEADING) == 2
    assert event_tail(folder).read() == []


@pytest.mark.parametrize(
    ("cgroup", "logind", "said"),
    [
        ("0::/user.slice/user-1000.slice/session-3.scope", {"KillUserProcesses": "true"}, "log"),
        ("0::/user.slice/user-1000.slice/session-3.scope", {"KillUserProcesses": "false"}, None),
        ("0::/user.slice/user-1000.slice/session-3.scope", {}, None),
        ("0::/user.slice/user-7.slice/user@7.service/app.slice/x.scope", {"Linger": "false"}, "en"),
        ("0::/user.slice/user-7.slice/user@7.service/app.slice/x.scope", {"Linger": "true"}, None),
        ("0::/", {"KillUserProcesses": "true", "Linger": "false"}, None),
    ],
)
def test_logind_may_end_a_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cgroup: str,
    logind: dict[str, str],
    said: str | None,
) -> None:
    (tmp_path / "cgroup").write_text(cgroup)
    monkeypatch.setattr(logout, "_logind", lambda _kind, _path, name: logind.get(name, ""))
    warning = logout.warn_if_killed_on_logout(tmp_path / "cgroup")
    assert (warning is None) == (said is None)
    assert said is None or said in str(warning)


def test_no_logind_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "cgroup").write_text("0::/user.slice/user-1000.slice/session-3.scope")
    assert logout.warn_if_killed_on_logout(tmp_path / "cgroup") is None
    assert logout.warn_if_killed_on_logout(tmp_path / "missing") is None
