"""The real process: its life, its signals, its death, and what it leaves."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from engine.contract import commands as c
from engine.contract import events as e
from engine.contract import toml
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.errors import UserError
from engine.contract.order import check_order
from engine.contract.rules import Rule
from engine.contract.training_tables import (
    CheckpointConfig,
    OptimizerConfig,
    RegularisationConfig,
    TrainingConfig,
)
from engine.past import Past
from engine.prepare import prepare as prepare_really
from engine.runs import lock, store
from engine.runs.journal import Outbox, event_tail
from engine.runs.launch import launch
from engine.runs.lock import look
from engine.worker import Worker

pytestmark = pytest.mark.slow

ENOUGH = 10**6
"""Epochs that no test waits for."""


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, in train/ (6 pictures each) and val/ (2)."""
    root = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2)):
        for name in ("ant", "bee"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = noise.integers(0, 256, (24, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


class Life:
    """A run and the processes that work on it, one after another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pid = 0

    def start(self) -> "Life":
        self.pid = launch(self.folder)
        return self

    def events(self) -> list[e.Event]:
        return list(event_tail(self.folder).read())

    def of(self, kind: type[e.Event]) -> list[e.Event]:
        return [event for event in self.events() if isinstance(event, kind)]

    def send(self, command: c.AnyCommand) -> c.AnyCommand:
        Outbox(self.folder).append(command)
        return command

    def answer(self, command: c.AnyCommand) -> e.Event | None:
        kinds = e.CommandApplied | e.CommandRejected
        answers = (x for x in self.events() if isinstance(x, kinds))
        return next((x for x in answers if x.command.id == command.id), None)

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition; a worker that dies meanwhile fails the test."""
        while not condition():
            held = look(self.folder).held
            assert held or condition(), (self.folder / store.LOG).read_text()
            time.sleep(0.01)

    def ended(self) -> list[e.Event]:
        while look(self.folder).held:
            time.sleep(0.01)
        events = self.events()
        check_order(events)
        return events

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)

    def steps(self) -> int:
        return max((x.last_step for x in self.of(e.StepsTrained)), default=0)


@pytest.fixture
def life(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Life]]:
    """Makes runs of a small network with Dropout; no worker outlives the test."""
    made: list[Life] = []

    def make(**changes: object) -> Life:
        config = Config(
            task="image-classification",
            model=ModelConfig(name="torchvision/squeezenet1_1", weights="none"),
            data=DataConfig(path=str(pictures), image_size=24, batch_size=4, workers=0),
            optimizer=OptimizerConfig(lr=1e-3),
            trainable=[Rule("*")],
            training=TrainingConfig(epochs=2, threads=1, device="cpu"),
        )
        config = msgspec.structs.replace(config, **changes)
        made.append(Life(store.create(config, tmp_path / "runs")))
        return made[-1]

    yield make
    for one in made:
        if one.pid and look(one.folder).held:
            with suppress(ProcessLookupError):
                one.kill()


def endless(**changes: object) -> dict[str, object]:
    return {"training": TrainingConfig(epochs=ENOUGH, threads=1, device="cpu"), **changes}


def weights(folder: Path) -> dict[str, np.ndarray]:
    files = (folder / "checkpoints" / "last").glob("*.safetensors")
    return {name: array for file in files for name, array in load_file(file).items()}


def test_a_run_from_its_start_to_its_end(life: Callable[..., Life]) -> None:
    one = life().start()
    events = one.ended()
    assert isinstance(events[0], e.RunStarted)
    assert events[0].versions.keys() == {"ftui", "torch", "torchvision", "python"}
    assert isinstance(events[1], e.PreparationAdvanced)
    assert events[1].stage == "importing torch"
    assert isinstance(events[-1], e.RunFinished)
    assert events[-1].step == 6
    started = one.of(e.TrainingStarted)[0]
    assert (started.threads, started.steps_per_epoch) == (1, 3)
    lines = (one.folder / "events.jsonl").read_text().splitlines()
    assert [json.loads(lines[at])["event"] for at in (0, -1)] == ["RunStarted", "RunFinished"]
    modes = {path.stat().st_mode & 0o077 for path in one.folder.rglob("*") if not path.is_symlink()}
    assert modes == {0}, "the run is nobody else's business"


def test_commands_are_obeyed_and_answered(life: Callable[..., Life]) -> None:
    one = life(**endless()).start()
    pause = one.send(c.Pause())  # it waits until training begins
    one.until(lambda: one.answer(pause))
    at = one.steps()
    thaw = one.send(c.Freeze("features"))
    wrong = one.send(c.Freeze("feetures"))
    one.until(lambda: one.answer(wrong))
    assert isinstance(one.answer(thaw), e.CommandApplied)
    assert isinstance(one.answer(wrong), e.CommandRejected)
    assert one.steps() == at, "it was paused"
    one.send(c.Resume())
    one.until(lambda: one.steps() > at + 5)
    stop = one.send(c.Stop())
    events = one.ended()
    assert isinstance(one.answer(stop), e.CommandApplied)
    assert isinstance(events[-1], e.RunStopped)
    assert events[-1].by == "command"
    saved = one.of(e.CheckpointSaved)[-1]
    assert (saved.reason, saved.step) == ("stop", events[-1].step)


@pytest.mark.parametrize(
    ("number", "when"), [(signal.SIGTERM, "training"), (signal.SIGINT, "paused")]
)
def test_a_signal_saves_and_ends(life: Callable[..., Life], number: int, when: str) -> None:
    one = life(**endless()).start()
    if when == "paused":
        pause = one.send(c.Pause())
        one.until(lambda: one.answer(pause))
    else:
        one.until(one.steps)
        one.kill(signal.SIGHUP)  # a closed terminal does not matter
        at = one.steps()
        one.until(lambda: one.steps() > at)
    one.kill(number)
    events = one.ended()
    assert isinstance(events[-1], e.RunStopped)
    assert events[-1].by == signal.Signals(number).name
    saved = one.of(e.CheckpointSaved)[-1]
    assert (saved.reason, saved.step) == ("stop", events[-1].step)


def test_a_signal_ends_the_preparation(life: Callable[..., Life]) -> None:
    one = life(**endless()).start()
    one.until(one.events)
    one.kill(signal.SIGTERM)
    events = one.ended()
    assert isinstance(events[-1], e.RunStopped)
    assert not one.of(e.StepsTrained)


def test_a_second_worker_is_refused(life: Callable[..., Life]) -> None:
    one = life(**endless()).start()
    one.until(one.events)
    before = one.pid
    command = [sys.executable, "-m", "engine.worker", str(one.folder)]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "a worker is on this run already" in second.stderr
    assert "Traceback" not in second.stderr
    assert len(one.of(e.RunStarted)) == 1
    assert look(one.folder).held
    os.kill(before, 0)


def test_a_worker_without_a_launcher_takes_the_lock_itself(life: Callable[..., Life]) -> None:
    one = life()
    command = [sys.executable, "-m", "engine.worker", str(one.folder)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert isinstance(one.ended()[-1], e.RunFinished)


def test_killed_and_resumed_it_ends_with_the_same_weights(life: Callable[..., Life]) -> None:
    """With Dropout, mixup, momentum, commands and two deaths, as it does without them in here."""
    asked = {
        "training": TrainingConfig(epochs=8, threads=1, device="cpu"),
        "checkpoints": CheckpointConfig(every_steps=5),
        "regularisation": RegularisationConfig(
            mixup=0.4, cutmix=1.0, dropout=0.3, sampling="balanced"
        ),
    }
    calm, struck = life(**asked), life(**asked)
    for one in (calm, struck):
        for command in (c.SetLearningRate(5e-4), c.Freeze("features.0")):
            one.send(command)  # obeyed before the first step
    worker = Worker(calm.folder, lock.take(calm.folder), Past())
    assert worker.run(toml.load(calm.folder / store.CONFIG)) == 0
    os.close(worker.lock_fd)
    struck.start()
    for _ in range(2):
        seen = len(struck.of(e.CheckpointSaved))
        struck.until(lambda seen=seen: len(struck.of(e.CheckpointSaved)) > seen)
        struck.kill()
        while look(struck.folder).held:
            time.sleep(0.01)
        late = struck.send(c.Evaluate(time=time.time() - 1))
        struck.start()
        struck.until(lambda late=late: struck.answer(late))
        assert isinstance(struck.answer(late), e.CommandRejected)
    ended = struck.ended()
    assert [type(calm.ended()[-1]), type(ended[-1])] == [e.RunFinished, e.RunFinished]
    assert len([x for x in ended if isinstance(x, e.RunResumed)]) == 2
    expected, got = weights(calm.folder), weights(struck.folder)
    assert expected.keys() == got.keys()
    assert all(np.array_equal(expected[name], got[name]) for name in expected)
    figures = {(x.step, x.loss, x.figures["top1"]) for x in calm.of(e.Evaluated)}
    assert figures == {(x.step, x.loss, x.figures["top1"]) for x in struck.of(e.Evaluated)}


def test_a_broken_config_is_a_sentence_on_the_error_stream(life: Callable[..., Life]) -> None:
    one = life()
    (one.folder / store.CONFIG).write_text("task = ")
    one.start().ended()
    assert "not valid TOML" in store.last_words(one.folder)


@pytest.mark.parametrize(
    ("error", "by_user", "said"),
    [
        (ZeroDivisionError("never \x1b[31mred"), False, "ZeroDivisionError: never red"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True, "data.batch_size"),
        (MemoryError(), True, "data.batch_size lower than 4"),
        (RuntimeError("MPS backend out of memory (18.0 GB)"), True, "data.batch_size lower"),
    ],
)
def test_a_defect_and_a_want_of_memory_end_the_run_in_a_sentence(
    life: Callable[..., Life],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    error: Exception,
    by_user: bool,
    said: str,
) -> None:
    def prepare(*_args: object, **_named: object) -> None:
        raise error

    monkeypatch.setattr("engine.prepare.prepare", prepare)
    one = life()
    config = toml.load(one.folder / store.CONFIG)
    worker = Worker(one.folder, lock.take(one.folder), Past())
    assert worker.run(config) == 1
    os.close(worker.lock_fd)
    last = one.ended()[-1]
    assert isinstance(last, e.RunFailed)
    assert last.by_user == by_user
    assert said in last.error
    assert "Traceback" in capfd.readouterr().err


def test_last_words_wait_for_a_disk_that_is_full(
    life: Callable[..., Life], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = life()
    config = toml.load(one.folder / store.CONFIG)
    worker = Worker(one.folder, lock.take(one.folder), Past())
    tries: list[float] = []

    def prepare(*_args: object, **_named: object) -> None:
        monkeypatch.setattr("os.write", full)
        raise UserError("no model")

    def full(_fd: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write = os.write

    def wait(seconds: float) -> None:
        tries.append(seconds)
        if len(tries) == 3:
            monkeypatch.setattr("os.write", write)

    monkeypatch.setattr("engine.prepare.prepare", prepare)
    monkeypatch.setattr("time.sleep", wait)
    assert worker.run(config) == 1
    os.close(worker.lock_fd)
    assert len(tries) == 3
    assert isinstance(one.ended()[-1], e.RunFailed)


def test_a_signal_whose_checkpoint_can_not_be_saved_ends_in_a_failure(
    life: Callable[..., Life], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    one = life()
    config = toml.load(one.folder / store.CONFIG)
    worker = Worker(one.folder, lock.take(one.folder), Past())

    def prepare(*args: object, **named: object) -> object:
        session = prepare_really(*args, **named)  # type: ignore[arg-type]
        worker.stopping = "SIGTERM"
        return session

    monkeypatch.setattr("engine.prepare.prepare", prepare)
    monkeypatch.setattr("engine.checkpoint.save", refuse)
    assert worker.run(config) == 1
    os.close(worker.lock_fd)
    events = one.ended()
    assert any(isinstance(x, e.Warned) and "No space" in x.message for x in events)
    last = events[-1]
    assert isinstance(last, e.RunFailed)
    assert "SIGTERM" in last.error
