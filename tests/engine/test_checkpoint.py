"""A checkpoint is whole, or not there; and no bit of it may flip unnoticed."""

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from engine import checkpoint, snapshot
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.errors import UserError
from engine.contract.order import check_order
from engine.contract.rules import Rule
from engine.contract.training_tables import (
    CheckpointConfig,
    EarlyStoppingConfig,
    OptimizerConfig,
    TrainingConfig,
)
from engine.loop import train
from engine.obey import obey
from engine.past import Past
from engine.session import Session
from tests.engine import sessions
from tests.engine.sessions import (
    UNGUARDED,
    Batches,
    batches,
    config,
    of,
    run,
    same,
    session,
    tensors,
    tiny_net,
)

pytestmark = pytest.mark.usefixtures("one_thread")
HEAD_ONLY = config(trainable=[Rule("*", train=False), Rule("head")])


def saved(made: Session, step: int = 1, best: bool = False) -> checkpoint.Checkpoint:
    made.progress.step = step
    event = snapshot.save(made, "command", best)
    path = made.folder / event.path
    return checkpoint.Checkpoint(path, checkpoint.check(path))


def names(made: Session) -> set[str]:
    return {path.name for path in (made.folder / "checkpoints").iterdir()}


def target(made: Session, link: str) -> str:
    return str((made.folder / "checkpoints" / link).readlink())


def test_the_event_tells_where_it_is_and_how_large(tmp_path: Path) -> None:
    made = session(tmp_path)
    event = snapshot.save(made, "command")
    folder = tmp_path / event.path
    files = [path for path in folder.iterdir() if path.name != "checkpoint.json"]
    assert event.size == sum(file.stat().st_size for file in files)
    assert (event.step, event.best, event.path) == (0, False, "checkpoints/step-00000000")


class Tied(nn.Module):
    """Two names for one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 3)
        self.head = nn.Linear(3, 3)
        self.head.weight = self.body.weight


def test_a_shared_tensor_is_saved_once_and_shared_again(tmp_path: Path) -> None:
    asked = config(trainable=[Rule("body")])
    made = session(tmp_path, asked, Tied())
    one = saved(made)
    again = session(tmp_path, asked, Tied(), saved=one)
    assert same(tensors(again.module), tensors(made.module))
    assert again.module.head.weight is again.module.body.weight


def test_a_tensor_that_is_not_contiguous_is_saved(tmp_path: Path) -> None:
    made = session(tmp_path, module=tiny_net().to(memory_format=torch.channels_last))
    one = saved(made)
    assert same(tensors(session(tmp_path, saved=one).module), tensors(made.module))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> checkpoint.Checkpoint:
    made = session(tmp_path_factory.mktemp("run"), config(optimizer=OptimizerConfig("adamw")))
    run(made)
    found, _ = checkpoint.newest(made.folder)
    assert found
    return found


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_flipped_bit_is_found_wherever_it_is(
    sound: checkpoint.Checkpoint, data: st.DataObject
) -> None:
    file = data.draw(st.sampled_from(sorted(sound.path.iterdir())))
    whole = file.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    bit = data.draw(st.integers(0, 7))
    flipped = bytearray(whole)
    flipped[place] ^= 1 << bit
    try:
        file.write_bytes(flipped)
        with pytest.raises(checkpoint.Damaged):
            checkpoint.check(sound.path)
    finally:
        file.write_bytes(whole)
    checkpoint.check(sound.path)


@pytest.mark.parametrize("file", ["trained.safetensors", "training.pt", "checkpoint.json"])
def test_a_file_that_is_cut_or_missing_is_found(tmp_path: Path, file: str) -> None:
    one = saved(session(tmp_path))
    whole = (one.path / file).read_bytes()
    for damaged in (whole[:-1], whole[: len(whole) // 2], b"", whole + b"\0"):
        (one.path / file).write_bytes(damaged)
        with pytest.raises(checkpoint.Damaged, match=file):
            checkpoint.check(one.path)
    (one.path / file).unlink()
    with pytest.raises(checkpoint.Damaged, match=f"{file} is missing"):
        checkpoint.check(one.path)


def test_the_one_before_a_damaged_one_is_used_and_the_damaged_set_aside(tmp_path: Path) -> None:
    made = session(tmp_path)
    saved(made, 1)
    (saved(made, 2).path / "training.pt").write_bytes(b"")
    found, warnings = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.manifest.progress.step == 1
    assert len(warnings) == 1
    assert "step-00000002 is damaged" in warnings[0]
    assert names(made) == {"step-00000001", "damaged-step-00000002", "last"}
    assert checkpoint.newest(tmp_path)[1] == []


def test_where_all_are_damaged_the_user_decides(tmp_path: Path) -> None:
    made = session(tmp_path)
    (saved(made, 1).path / "training.pt").unlink()
    with pytest.raises(UserError, match=r"training\.pt is missing.*delete the folder"):
        checkpoint.newest(tmp_path)
    assert "step-00000001" in names(made)


def test_without_any_there_is_none(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path) == (None, [])


def test_the_last_ones_and_the_best_are_kept(tmp_path: Path) -> None:
    made = session(tmp_path, config(checkpoints=CheckpointConfig(keep_last=2)))
    for step in range(1, 7):
        saved(made, step, best=step == 2)
    assert names(made) == {"step-00000002", "step-00000005", "step-00000006", "last", "best"}
    assert (target(made, "last"), target(made, "best")) == ("step-00000006", "step-00000002")


def test_a_second_one_of_the_same_step_replaces_the_first(tmp_path: Path) -> None:
    made = session(tmp_path)
    saved(made, 1)
    saved(made, 2, best=True)
    made.progress.base_lr = 0.5
    two = saved(made, 2)
    assert two.manifest.progress.base_lr == 0.5
    assert names(made) == {"step-00000001", two.path.name, "last", "best"}
    assert target(made, "last") == target(made, "best") == two.path.name
    found, _ = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.path == two.path


def test_nothing_is_written_twice_where_nothing_changed(tmp_path: Path) -> None:
    made = session(tmp_path)
    first = snapshot.save(made, "command", best=True)
    before = (tmp_path / first.path).stat()
    second = snapshot.save(made, "stop")
    assert (second.path, second.best, second.reason) == (first.path, True, "stop")
    assert (tmp_path / first.path).stat().st_ino == before.st_ino


def test_what_a_dead_worker_left_half_written_is_swept_away(tmp_path: Path) -> None:
    made = session(tmp_path)
    saved(made, 1)
    left = tmp_path / "checkpoints" / ".step-00000002.partial"
    shutil.copytree(tmp_path / "checkpoints" / "step-00000001", left)
    (tmp_path / "checkpoints" / ".last.partial").symlink_to("nowhere")
    found, warnings = checkpoint.newest(tmp_path)
    assert found is not None
    assert (found.manifest.progress.step, warnings) == (1, [])
    saved(made, 2)
    assert names(made) == {"step-00000001", "step-00000002", "last"}


def test_the_links_of_a_worker_that_died_before_it_set_them_are_put_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class DiedError(BaseException):
        pass

    def die(_link: Path, _name: str) -> None:
        raise DiedError

    made = session(tmp_path)
    saved(made, 1, best=True)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_point", die)
        with pytest.raises(DiedError):
            saved(made, 2, best=True)
    assert target(made, "last") == target(made, "best") == "step-00000001"
    checkpoint.newest(tmp_path)
    assert target(made, "last") == target(made, "best") == "step-00000002"


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """The disk refuses in the middle of a file, as a full one does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [100, 4000, 7000])
def test_a_disk_that_refuses_leaves_nothing_and_is_a_sentence(tmp_path: Path, size: int) -> None:
    made = session(tmp_path)
    saved(made, 1)
    made.progress.step = 2
    with no_file_larger_than(size), pytest.raises(UserError, match="could not be saved"):
        snapshot.save(made, "command")
    assert names(made) == {"step-00000001", "last"}
    saved(made, 2)
    assert names(made) == {"step-00000001", "step-00000002", "last"}


def test_training_goes_on_when_the_disk_is_full_and_waits_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until somebody has made room: the weights are only in memory."""

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    made = session(tmp_path, config(training=TrainingConfig(epochs=2), guard=UNGUARDED))
    monkeypatch.setattr(os, "fsync", full)
    events: list[e.Event] = []
    for event in train(made):
        if event is not None:
            events.append(event)
        elif made.paused:
            assert names(made) == set()
            if len(of(e.RunPaused, events)) == 2:
                monkeypatch.undo()
            events += obey(made, c.Resume())
    assert names(made) == {f"step-{made.progress.step:08d}", "last", "best"}
    assert [type(x) for x in events[-3:]] == [e.CheckpointSaved, e.ModelSaved, e.RunFinished]
    told = [x.message for x in of(e.Warned, events) if isinstance(x, e.Warned)]
    assert sum("No space left on device" in x for x in told) == 3
    assert sum("only in memory" in x for x in told) == 2
    about = {"pid": 1, "host": "", "versions": {}, "config": made.config}
    check_order([e.RunStarted(**about), *events])


def test_best_is_the_best_epoch(tmp_path: Path) -> None:
    made = session(
        tmp_path,
        config(training=TrainingConfig(epochs=6), checkpoints=CheckpointConfig(keep_last=1)),
    )
    events = run(made)
    losses = {x.step: x.loss for x in of(e.Evaluated, events)}
    best = min(losses, key=losses.__getitem__)
    assert target(made, "best") == f"step-{best:08d}"
    marked = [x.step for x in of(e.CheckpointSaved, events) if x.best]
    assert marked == [
        step for step in losses if losses[step] == min(v for s, v in losses.items() if s <= step)
    ]


def test_another_models_checkpoint_is_refused(tmp_path: Path) -> None:
    one = saved(session(tmp_path))
    with pytest.raises(UserError, match="does not fit"):
        session(tmp_path, module=tiny_net(classes=4), saved=one)


def test_a_changed_config_wins_over_the_checkpoint(tmp_path: Path) -> None:
    made = session(tmp_path, config(optimizer=OptimizerConfig(lr=0.1)), data=mid_epoch())
    run_two_steps(made)
    one = saved(made, 2)
    head = [Rule("head")]
    changed = config(optimizer=OptimizerConfig(lr=0.2), trainable=head)
    again = session(tmp_path, changed, past=Past(phase="stopped"), saved=one)
    assert again.progress.base_lr == 0.2
    assert again.progress.rules == head
    assert again.progress.batch == 2


def test_data_of_other_classes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = saved(session(tmp_path))
    monkeypatch.setattr(sessions, "CLASSES", ["ant", "bee", "dog"])
    with pytest.raises(UserError, match=r"other classes \(gone: cat; new: dog\)"):
        session(tmp_path, saved=one)
    monkeypatch.setattr(sessions, "CLASSES", ["bee", "ant", "cat"])
    with pytest.raises(UserError, match="in another order"):
        session(tmp_path, saved=one)


def test_other_pictures_begin_the_epoch_anew(tmp_path: Path) -> None:
    made = session(tmp_path, data=mid_epoch())
    run_two_steps(made)
    assert session(tmp_path, saved=saved(made, 2)).progress.batch == 2
    made.samples = "others"
    assert session(tmp_path, saved=saved(made, 3)).progress.batch == 0


def test_another_metric_has_its_own_best(tmp_path: Path) -> None:
    made = session(tmp_path)
    made.progress.best, made.progress.stale = 0.9, 2
    top1 = EarlyStoppingConfig(metric="val_top1")
    again = session(tmp_path, config(early_stopping=top1), saved=saved(made))
    assert (again.progress.best, again.progress.stale) == (None, 0)


def test_another_batch_size_begins_the_epoch_anew(tmp_path: Path) -> None:
    made = session(tmp_path, data=mid_epoch())
    run_two_steps(made)
    one = saved(made, 2)
    other = msgspec.structs.replace(config().data, batch_size=2)
    assert session(tmp_path, config(data=other), saved=one).progress.batch == 0


def test_another_optimizer_starts_with_fresh_moments(tmp_path: Path) -> None:
    made = session(tmp_path, data=mid_epoch())
    run_two_steps(made)
    one = saved(made, 2)
    again = session(tmp_path, config(optimizer=OptimizerConfig(name="adamw")), saved=one)
    assert not any(again.optimizer.state.values())


def mid_epoch() -> Batches:
    return batches(4, 4, 4)


def run_two_steps(made: Session) -> None:
    from engine.loop import take_step

    take_step(made)
    take_step(made)
