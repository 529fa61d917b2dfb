"""The worker within the process of the tests: what signals, errors and missing files do to it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from PIL import Image
from safetensors.torch import load_file
from torchvision.models import squeezenet1_1

from engine import past, shards
from engine.checkpoint import START
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract import toml
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.order import check_order
from engine.contract.predictions import BEST, NEWEST
from engine.contract.rules import Rule
from engine.contract.training_tables import (
    CheckpointConfig,
    EarlyStoppingConfig,
    OptimizerConfig,
    RegularisationConfig,
    ScheduleConfig,
    TrainingConfig,
)
from engine.runs import lock, store
from engine.runs.fork import create_fork
from engine.runs.journal import EVENTS, Outbox, event_tail
from engine.runs.predictions import load
from engine.worker import Worker
from tests.engine.data.pictures import cut
from tests.engine.sessions import same, session

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def asked(tmp_path: Path) -> Config:
    """A small network with Dropout, for one epoch of three steps, from a weights file."""
    noise = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2)):
        for name in ("ant", "bee"):
            folder = tmp_path / "pictures" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = noise.integers(0, 256, (24, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    torch.save(squeezenet1_1(num_classes=2).state_dict(), tmp_path / "w.pth")
    return Config(
        task="image-classification",
        model=ModelConfig(name="torchvision/squeezenet1_1", weights=str(tmp_path / "w.pth")),
        data=DataConfig(path=str(tmp_path / "pictures"), image_size=24, batch_size=4, workers=0),
        optimizer=OptimizerConfig(lr=1e-3),
        schedule=ScheduleConfig("constant"),
        trainable=[Rule("*")],
        training=TrainingConfig(epochs=1, device="cpu"),
    )


def longer(asked: Config) -> Config:
    return replace(asked, training=replace(asked.training, epochs=2))


@pytest.fixture
def worker(asked: Config, tmp_path: Path) -> Iterator[Worker]:
    """Of a new run."""
    folder = store.create(asked, tmp_path / "runs")
    made = Worker(folder, lock.take(folder), past.Past())
    yield made
    os.close(made.lock_fd)


def live(folder: Path, config: Config) -> list[e.AnyEvent]:
    """One life of a run, to its end, and all that the run's journal says then."""
    lock_fd = lock.take(folder)
    Worker(folder, lock_fd, past.read(folder)).run(config)
    os.close(lock_fd)
    return told(folder)


def told(folder: Path) -> list[e.AnyEvent]:
    events = event_tail(folder).read()
    check_order(events)
    return events


def test_a_stop_ends_the_preparation(worker: Worker, asked: Config) -> None:
    stop, later = c.Stop(), c.Evaluate()
    for command in (stop, later):
        Outbox(worker.folder).append(command)
    worker.run(asked)
    events = told(worker.folder)
    assert isinstance(events[-1], e.RunStopped)
    assert events[-1].by == "command"
    answers = [x for x in events if isinstance(x, e.CommandApplied | e.CommandRejected)]
    assert [(type(x), x.command) for x in answers] == [
        (e.CommandApplied, stop),
        (e.CommandRejected, later),
    ]
    assert not any(isinstance(x, e.StepsTrained) for x in events)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": DataConfig(path="/nowhere")}, "/nowhere"),
        ({"trainable": [Rule("*", train=False)]}, "freezes every parameter"),
        ({"model": ModelConfig("torchvision/resnet81", weights="none")}, "did you mean"),
        ({"model": ModelConfig("torchvision/squeezenet1_1")}, "TORCH_HOME"),
    ],
)
def test_what_the_user_can_mend_is_a_sentence(
    worker: Worker,
    asked: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    said: str,
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # refuses at once
    early = c.Checkpoint()
    Outbox(worker.folder).append(early)
    assert worker.run(replace(asked, **changes)) == 1
    *_, answer, last = told(worker.folder)
    assert isinstance(answer, e.CommandRejected)
    assert answer.command == early
    assert isinstance(last, e.RunFailed)
    assert last.by_user
    assert said in last.error
    assert "Traceback" not in capfd.readouterr().err


def test_a_command_whose_obeying_fails_is_answered(
    worker: Worker, asked: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def obey(*_args: object) -> Iterator[e.Event]:
        yield e.RunPaused(step=0)
        raise ZeroDivisionError

    monkeypatch.setattr("engine.prepare.prepare", lambda *_, **__: session(worker.folder))
    monkeypatch.setattr("engine.obey.obey", obey)
    commands = [c.Pause(), c.Evaluate()]
    for command in commands:
        Outbox(worker.folder).append(command)
    assert worker.run(asked) == 1
    *_, first, second, last = told(worker.folder)
    assert [first.command, second.command] == commands
    assert isinstance(last, e.RunFailed)


def test_a_signal_while_commands_are_read_loses_none(
    worker: Worker, asked: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = c.Evaluate()
    drain = worker.inbox.drain

    def disturbed(now: bool = False) -> list[c.AnyCommand]:
        commands = drain(now)
        if commands:
            worker.look()  # as where reading takes longer than the time between two looks
            worker.stop("SIGTERM")
        return commands

    def prepare(*_args: object, **_named: object) -> None:
        Outbox(worker.folder).append(command)
        signal.raise_signal(signal.SIGALRM)
        pytest.fail("it goes on preparing")

    monkeypatch.setattr(worker.inbox, "drain", disturbed)
    monkeypatch.setattr("engine.prepare.prepare", prepare)
    worker.run(asked)
    *_, answer, last = told(worker.folder)
    assert isinstance(answer, e.CommandRejected)
    assert answer.command == command
    assert isinstance(last, e.RunStopped)
    assert last.by == "SIGTERM"


@pytest.mark.parametrize(
    "regularisation",
    [RegularisationConfig(), RegularisationConfig(ema=0.9, l2_sp=0.1, wise_ft=True)],
)
def test_a_run_goes_on_without_the_weights_that_it_began_with(
    asked: Config, tmp_path: Path, regularisation: RegularisationConfig
) -> None:
    asked = replace(asked, regularisation=regularisation)
    calm, struck = (store.create(asked, tmp_path / "runs") for _ in range(2))
    live(calm, longer(asked))
    live(struck, asked)
    Path(asked.model.weights).unlink()
    events = live(struck, longer(asked))
    assert isinstance(events[-1], e.RunFinished), events[-1]
    loaded = [x for x in events if isinstance(x, e.ModelLoaded)]
    assert [Path(x.weights).name for x in loaded] == ["w.pth, head included", "step-00000003"]
    assert loaded[0].model == loaded[1].model
    assert same(*(shards.read(x / "checkpoints" / "last") for x in (struck, calm)))
    assert same(*(load_file(x / "model.safetensors") for x in (struck, calm)))
    squeezenet1_1(num_classes=2).load_state_dict(load_file(struck / "model.safetensors"))


def test_a_fork_goes_back_to_where_its_parent_began(asked: Config, tmp_path: Path) -> None:
    asked = replace(asked, regularisation=RegularisationConfig(l2_sp=0.1))
    parent = store.create(asked, tmp_path / "runs")
    live(parent, asked)
    Path(asked.model.weights).unlink()
    forked = create_fork(parent, 3, ["training.epochs=2"], tmp_path / "runs")
    events = live(forked, toml.load(forked / store.CONFIG))
    assert isinstance(events[-1], e.RunFinished), events[-1]
    assert same(load_file(forked / START), load_file(parent / START))


def test_settings_that_contradict_each_other_fail_a_run_with_a_sentence(
    worker: Worker, asked: Config
) -> None:
    judged = EarlyStoppingConfig(metric="ema_top1")
    assert worker.run(replace(asked, early_stopping=judged)) == 1
    last = told(worker.folder)[-1]
    assert isinstance(last, e.RunFailed)
    assert last.by_user
    assert "set regularisation.ema" in last.error


def test_without_its_journal_a_run_goes_on_from_its_checkpoint(
    asked: Config, tmp_path: Path
) -> None:
    """Begun anew, it would leave a checkpoint behind that outranks its own."""
    folder = store.create(asked, tmp_path / "runs")
    live(folder, asked)
    (folder / EVENTS).unlink()
    first, *_, last = live(folder, longer(asked))
    assert isinstance(first, e.RunResumed)
    assert first.from_step == 3
    assert isinstance(last, e.RunFinished)
    assert last.step == 6


def test_a_damaged_checkpoint_is_told_and_the_one_before_is_used(
    asked: Config, tmp_path: Path
) -> None:
    asked = replace(asked, checkpoints=CheckpointConfig(every_steps=2))
    folder = store.create(asked, tmp_path / "runs")
    live(folder, asked)
    file = (folder / "checkpoints" / "last").resolve() / "trained.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    events = live(folder, asked)
    assert isinstance(events[-1], e.RunFinished)
    assert [x.from_step for x in events if isinstance(x, e.RunResumed)] == [2]
    assert any("is damaged" in x.message for x in events if isinstance(x, e.Warned))


def test_a_run_whose_checkpoints_are_all_damaged_is_a_sentence(
    asked: Config, tmp_path: Path
) -> None:
    folder = store.create(asked, tmp_path / "runs")
    live(folder, asked)
    for file in folder.glob("checkpoints/*/training.pt"):
        file.write_bytes(b"")
    before, _ = store.state_of(folder)
    resumed, failed = live(folder, longer(asked))[-2:]
    assert isinstance(resumed, e.RunResumed)
    assert isinstance(failed, e.RunFailed)
    assert failed.by_user
    assert "no checkpoint is intact" in failed.error
    after, _ = store.state_of(folder)
    assert after.lives == 2
    assert (after.step, after.evaluations) == (before.step, before.evaluations)


def test_as_many_threads_as_before_unless_others_are_asked_for(
    asked: Config, tmp_path: Path
) -> None:
    folder = store.create(asked, tmp_path / "runs")
    torch.set_num_threads(2)
    live(folder, asked)
    torch.set_num_threads(1)
    events = live(folder, longer(asked))
    (warning,) = (x.message for x in events if isinstance(x, e.Warned))
    assert "as many CPU threads as before, 2, " in warning
    other = replace(asked.training, epochs=3, threads=3)
    live(folder, replace(asked, training=other))
    torch.set_num_threads(1)
    events = live(folder, replace(asked, training=replace(other, epochs=4, threads="auto")))
    started = [x.threads for x in events if isinstance(x, e.TrainingStarted)]
    assert started == [2, 2, 3, 1]


@pytest.mark.parametrize("workers", [0, 1])
def test_predictions_name_the_samples_that_were_read(
    worker: Worker, asked: Config, tmp_path: Path, workers: int
) -> None:
    cut(tmp_path / "pictures" / "val" / "ant" / "1.png", 0.5)
    asked = replace(asked, data=replace(asked.data, workers=workers, batch_size=3))
    worker.run(asked)
    saved = {x.path: x for x in told(worker.folder) if isinstance(x, e.PredictionsSaved)}
    assert set(saved) == {NEWEST, BEST}
    found = load(worker.folder, NEWEST)
    (evaluated,) = (x for x in told(worker.folder) if isinstance(x, e.Evaluated))
    assert (found.step, found.samples, found.classes) == (evaluated.step, 3, ["ant", "bee"])
    by_number = {row.number: (row.name, row.labels) for row in found.rows}
    root = tmp_path / "pictures" / "val"
    assert by_number == {
        0: (str(root / "ant" / "0.png"), [0]),
        2: (str(root / "bee" / "0.png"), [1]),
        3: (str(root / "bee" / "1.png"), [1]),
    }
    right = sum(row.labels == row.said for row in found.rows)
    assert right / 3 == pytest.approx(evaluated.figures["top1"])
    assert sum(row.loss or 0 for row in found.rows) / 3 == pytest.approx(evaluated.loss)
