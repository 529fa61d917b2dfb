"""Names, states and summaries of runs."""

import os
import shutil
from pathlib import Path

import msgspec
import pytest

from engine.contract import events as e
from engine.contract import toml
from engine.contract.codec import encode
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.state import RunState
from engine.runs import lock, store
from engine.runs.journal import EVENTS, Journal


def tell(folder: Path, *events: e.Event) -> None:
    journal = Journal(folder)
    for event in events:
        journal.append(event)
    journal.close()


def started(config: Config, time: float = 1.0) -> list[e.Event]:
    loop = e.TrainingStarted(
        step=0,
        epoch=1,
        epochs=2,
        steps_per_epoch=10,
        lr=0.1,
        device="cpu",
        device_name="",
        precision="fp32",
        threads=1,
    )
    return [e.RunStarted(pid=1, host="here", versions={}, config=config, time=time), loop]


def steps(first: int, *losses: float) -> e.StepsTrained:
    return e.StepsTrained(
        first_step=first, loss=list(losses), lr=[0.1] * len(losses), samples_per_second=5.0
    )


def evaluated(step: int, top1: float) -> e.Evaluated:
    return e.Evaluated(
        step=step,
        epoch=1,
        reason="epoch",
        loss=1 - top1,
        figures={"top1": top1},
        samples=9,
        seconds=1,
    )


def test_a_new_run_is_private_named_and_complete(config: Config, runs: Path) -> None:
    folder = store.create(config, runs)
    assert folder.parent == runs
    assert folder.name[10:] == "-resnet18-pets-co"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {p.name for p in folder.iterdir()} == {"config.toml", "commands.jsonl"}
    assert (folder / "config.toml").stat().st_mode & 0o777 == 0o600
    assert toml.load(folder / "config.toml") == config


def test_a_taken_name_is_numbered(config: Config, runs: Path) -> None:
    first, second, third = (store.create(config, runs) for _ in range(3))
    assert second.name == f"{first.name}-2"
    assert third.name == f"{first.name}-3"


def test_a_place_that_takes_no_runs_is_a_sentence(config: Config, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="no run can be created there"):
        store.create(config, tmp_path / "file" / "runs")


def test_a_full_disk_leaves_no_empty_run(
    config: Config, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        store.create(config, runs)
    assert list(runs.iterdir()) == []


def test_where_runs_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FTUI_RUNS", raising=False)
    assert store.runs_dir() == tmp_path / "runs"
    monkeypatch.setenv("FTUI_RUNS", "elsewhere")
    assert store.runs_dir() == tmp_path / "elsewhere"
    assert store.runs_dir(Path("/given")) == Path("/given")
    assert store.runs_dir(Path("~nosuchuser/x")) == tmp_path / "~nosuchuser" / "x"


@pytest.fixture
def three(config: Config, runs: Path) -> Path:
    for name in ("2026-01-02-resnet18-pets", "2026-01-02-resnet18-pets-2", "2026-02-01-vgg11-cars"):
        (runs / name).mkdir(parents=True)
        store.write_config(runs / name, config)
    return runs


def test_find_takes_a_name_a_prefix_or_a_folder(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vgg = three / "2026-02-01-vgg11-cars"
    assert store.find("2026-02", three) == vgg
    assert store.find(vgg, None) == vgg
    monkeypatch.chdir(three)
    assert store.find(vgg.name, None) == vgg
    exact = "2026-01-02-resnet18-pets"
    assert store.find(exact, three) == three / exact  # though another name begins with it


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("2026-01", "may be any of 2026-01-02-resnet18-pets, 2026-01-02-resnet18-pets-2;"),
        ("vgg", "no run .*did you mean 2026-02-01-vgg11-cars"),
        ("2026-02-01-vgg11-cras", "did you mean 2026-02-01-vgg11-cars"),
        ("zzz", 'There is no run "zzz" in '),
        ("~nosuchuser", 'There is no run "~nosuchuser" in '),
        pytest.param("x" * 300, 'There is no run "xxx', id="too long for a name"),
    ],
)
def test_find_names_the_candidates(three: Path, asked: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        store.find(asked, three)


def test_a_folder_that_is_no_run_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run"):
        store.find(tmp_path, tmp_path)


HELD, FREE = lock.Hold(True, False), lock.Hold(False, False)
BEGUN, DIED_AT_ONCE = lock.Hold(True, True), lock.Hold(False, True)


@pytest.mark.parametrize(
    ("phase", "hold", "status"),
    [
        ("new", BEGUN, "preparing"),
        ("new", DIED_AT_ONCE, "crashed"),
        ("new", FREE, "crashed"),
        ("running", HELD, "running"),
        ("running", FREE, "crashed"),
        ("paused", FREE, "crashed"),
        ("stopped", FREE, "stopped"),
        ("stopped", HELD, "stopped"),  # on its way out
        ("stopped", BEGUN, "preparing"),  # resumed, not a word yet
        ("stopped", DIED_AT_ONCE, "crashed"),
        ("finished", FREE, "finished"),
        ("failed", FREE, "failed"),
    ],
)
def test_journal_and_lock_together_tell_the_state(
    phase: store.Phase, hold: lock.Hold, status: str
) -> None:
    assert store.status(phase, hold) == status


def test_the_state_of_a_run_is_the_whole_fold(config: Config, runs: Path) -> None:
    folder = store.create(config, runs)
    events = [*started(config), steps(1, 3, 2, 1), e.RunStopped(step=3, by="command")]
    tell(folder, *events)
    state, status = store.state_of(folder)
    assert status == "stopped"
    assert list(state.loss.values) == [3, 2, 1]


def summary_of(folder: Path) -> store.RunSummary:
    [found] = [s for s in store.summaries(folder.parent) if s.path == str(folder)]
    return found


def test_a_summary_follows_the_journal(config: Config, runs: Path) -> None:
    folder = store.create(config, runs)
    skipped = e.FileSkipped(path="a.jpg", reason="broken")
    tell(folder, *started(config), steps(1, 3.0, 2.0), steps(3, 1.0), skipped, evaluated(3, 0.5))
    held = lock.take(folder)
    (folder / "run.lock").write_text("0")
    found = summary_of(folder)
    assert (found.state, found.step, found.total_steps, found.epochs) == ("running", 3, 20, 2)
    assert found.best == {"val_loss": 0.5, "val_top1": 0.5}
    assert (found.model, found.data) == ("torchvision/resnet18", config.data.path)
    assert (found.started, found.skipped) == (1.0, 1)

    tell(folder, steps(4, 0.9), evaluated(4, 0.75))
    found = summary_of(folder)
    assert (found.step, found.best["val_top1"]) == (4, 0.75)

    tell(folder, e.RunResumed(from_step=2, pid=2, host="there", versions={}, config=config))
    found = summary_of(folder)
    assert (found.state, found.step, found.best, found.pid) == ("preparing", 2, {}, 2)
    os.close(held)
    assert summary_of(folder).state == "crashed"


def torn(folder: Path, line: bytes) -> None:
    with (folder / EVENTS).open("ab") as file:
        file.write(line)


@pytest.mark.parametrize("tail", [b"", b'{"event":"StepsTrained","first_st', b'{"event":"St\n'])
def test_a_summary_agrees_with_the_whole_fold(config: Config, runs: Path, tail: bytes) -> None:
    folder = store.create(config, runs)
    tell(folder, *started(config), *(steps(n, 1.0) for n in range(1, 50)), evaluated(49, 0.5))
    tell(folder, *(steps(n, 1.0) for n in range(50, 90)))
    torn(folder, tail)
    whole, status = store.state_of(folder)
    found = summary_of(folder)
    assert found.step == whole.step == 89
    assert (found.state, found.best, found.updated) == (status, whole.best, whole.updated)


def test_a_journal_that_was_replaced_is_summed_up_anew(config: Config, runs: Path) -> None:
    folder = store.create(config, runs)
    tell(folder, *started(config), *(steps(n, 1.0) for n in range(1, 50)))
    assert summary_of(folder).step == 49
    (folder / EVENTS).unlink()
    tell(folder, *started(config), steps(1, 1.0))
    assert summary_of(folder).step == 1


def test_runs_are_listed_newest_first(config: Config, runs: Path) -> None:
    old, new, unstarted = (store.create(config, runs) for _ in range(3))
    tell(new, *started(config, time=2000.0))
    tell(old, *started(config, time=1000.0))
    assert [s.path for s in store.summaries(runs)] == [str(f) for f in (unstarted, new, old)]


def test_no_folder_has_no_runs(tmp_path: Path) -> None:
    assert store.summaries(tmp_path / "nowhere") == []


def test_a_run_that_never_began_is_listed_too(config: Config, runs: Path) -> None:
    found = summary_of(store.create(config, runs))
    assert (found.state, found.model, found.started, found.epochs) == (
        "crashed",
        "torchvision/resnet18",
        None,
        2,
    )


def test_a_spoilt_config_does_not_hide_a_run(config: Config, runs: Path) -> None:
    folder = store.create(config, runs)
    (folder / "config.toml").write_text("not toml")
    assert summary_of(folder).model == ""


def test_a_journal_that_cannot_be_read_hides_no_other_run(config: Config, runs: Path) -> None:
    good, bad = store.create(config, runs), store.create(config, runs)
    tell(good, *started(config))
    (bad / EVENTS).mkdir()
    assert summary_of(good).error == ""
    assert "events.jsonl: it can't be read (Is a directory)" in summary_of(bad).error
    assert store.find(good.name, runs) == good
    with pytest.raises(UserError, match="can't be read"):
        store.state_of(bad)


def test_a_folder_of_another_user_hides_no_run(
    config: Config, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = store.create(config, runs)
    (runs / "theirs").mkdir()
    is_file = Path.is_file

    def refused(path: Path) -> bool:  # tests may run as root, whom no mode keeps out
        if path.parent.name == "theirs":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refused)
    assert [run.path for run in store.summaries(runs)] == [str(ours)]
    assert store.find(ours.name[:12], runs) == ours


def test_a_summary_tells_which_run_a_fork_goes_on_from(config: Config, runs: Path) -> None:
    parent, fork = store.create(config, runs), store.create(config, runs)
    begun, *loop = started(config)
    tell(fork, begun, e.RunForked(parent=str(parent), step=7), *loop)
    assert summary_of(fork).parent == str(parent)
    assert summary_of(parent).parent == ""


def test_the_json_of_ls_is_stable(config: Config, runs: Path) -> None:
    """Programs read these names: add some, never change one."""
    store.create(config, runs)
    [shown] = msgspec.json.decode(msgspec.json.encode(store.summaries(runs)))
    assert list(shown) == [
        *("name", "path", "state", "step", "total_steps", "epoch", "epochs", "best", "model"),
        *("data", "started", "updated", "pid", "host", "error", "skipped", "parent", "task"),
        "best_model",
    ]


def test_a_copied_run_is_what_it_was(config: Config, runs: Path) -> None:
    folder = store.create(config, runs)
    held = lock.take(folder)
    tell(folder, *started(config), e.RunStopped(step=0, by="command"))
    os.close(held)
    shutil.copytree(folder, runs / "copy", copy_function=shutil.copyfile)
    assert store.state_of(runs / "copy")[1] == "stopped"


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (None, ""),
        ("", ""),
        ("# worker started 2026\n", ""),
        ("# worker started 2026\nTraceback\nKilled \x1b[31mred\n\n", "Killed red"),
        ("old\n# worker started 2026\n", ""),
        ("x" * 100_000 + "\nlast", "last"),
    ],
)
def test_last_words(tmp_path: Path, log: str | None, words: str) -> None:
    if log is not None:
        (tmp_path / "worker.log").write_text(log)
    assert store.last_words(tmp_path) == words


def test_a_failed_write_leaves_the_old_config(
    config: Config, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store.create(config, runs)

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="space"):
        store.write_config(folder, msgspec.structs.replace(config, trainable=[]))
    assert {p.name for p in folder.iterdir()} == {"config.toml", "commands.jsonl"}
    assert toml.load(folder / "config.toml") == config


def test_a_long_journal_is_read_once(
    config: Config, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store.create(config, runs)
    tell(folder, *started(config))
    torn(folder, b"".join(encode(steps(n, 1.0)) for n in range(1, 5000)))
    assert summary_of(folder).step == 4999
    told: list[e.Event] = []
    apply = RunState.apply

    def counted(self: RunState, event: e.Event) -> None:
        told.append(event)
        apply(self, event)

    monkeypatch.setattr(RunState, "apply", counted)
    tell(folder, steps(5000, 1.0))
    assert summary_of(folder).step == 5000
    assert len(told) == 1
