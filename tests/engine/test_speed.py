"""How a run computes is chosen once, told, and kept: by resumes, forks and replays."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from PIL import Image

from engine import device, speed
from engine.contract import events as e
from engine.contract import toml
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.rules import Rule
from engine.contract.speed import Speed, Timed
from engine.contract.training_tables import OptimizerConfig, TrainingConfig
from engine.runs import fork, store
from engine.speed import measure
from tests.engine.sessions import config, run, same, session, tensors
from tests.engine.test_worker_inside import live

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def worth_it(monkeypatch: pytest.MonkeyPatch) -> list[Timed]:
    """Short runs are measured, too, and channels last always is twice as fast. Gives what was
    tried, pass by pass."""
    taken: list[Timed] = []
    really = speed._Passes.take

    def take(passes: Any, way: Timed) -> float:
        taken.append(way)
        really(passes, way)
        return 0.5 if way.channels_last else 1.0

    monkeypatch.setattr(speed, "_FEWEST_STEPS", 0)
    monkeypatch.setattr(speed, "_SHORTEST_RUN", 0.0)
    monkeypatch.setattr(speed._Passes, "take", take)
    return taken


def asked(**training: Any) -> Config:
    return config(training=TrainingConfig(**{"epochs": 2, "threads": 1, **training}))


def test_measuring_leaves_no_trace(tmp_path: Path, worth_it: list[Timed]) -> None:
    ends = []
    for name, measured in (("plain", False), ("measured", True)):
        (folder := tmp_path / name).mkdir()
        made = session(folder, asked(channels_last="auto" if measured else True))
        before, generators = tensors(made.module), made.device.rng_state()
        told = measure(made, known=False)
        assert bool(told) == bool(worth_it) == measured
        assert same(before, tensors(made.module))
        assert same(generators, made.device.rng_state())
        assert all(p.grad is None for p in made.module.parameters())
        events = run(made)
        ends.append(
            (tensors(made.module), [x.loss for x in events if isinstance(x, e.StepsTrained)])
        )
    assert told
    assert told.chosen == 1
    assert [way.channels_last for way in told.tried] == [False, True]
    assert made.device.channels_last
    assert ends[0][1] == ends[1][1]
    assert same(ends[0][0], ends[1][0])


@pytest.mark.parametrize(
    "training",
    [
        {"precision": "fp32", "channels_last": False},
        {"precision": "bf16", "channels_last": True},
    ],
)
def test_what_the_config_says_is_not_measured(
    tmp_path: Path, worth_it: list[Timed], training: dict[str, Any]
) -> None:
    made = session(tmp_path, asked(**training))
    assert measure(made, known=False) is None
    assert worth_it == []
    assert made.device.precision == training["precision"]
    assert made.device.channels_last == training["channels_last"]


def test_quick_steps_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_SHORT_STEP", 60.0)
    made = session(tmp_path, asked(epochs=10**6))
    assert measure(made, known=False) is None
    assert (made.device.precision, made.device.channels_last) == ("fp32", False)


def test_bf16_is_tried_only_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for has_it, tried in ((True, ["fp32", "bf16"]), (False, ["fp32"])):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has_it=has_it: has_it)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        assert device.precisions(torch.device("cpu")) == tried


def test_what_was_chosen_for_another_device_does_not_count() -> None:
    known = Speed("cuda", "bf16", channels_last=True)
    chosen = device.choose(TrainingConfig(device="cpu"), known)
    assert (chosen.precision, chosen.channels_last) == ("fp32", False)


@pytest.fixture
def parent(tmp_path: Path, worth_it: list[Timed]) -> Path:
    """A run of squeezenet, which has Dropout, whose way to compute was measured."""
    noise = np.random.default_rng(0)
    for split, name in ((s, n) for s in ("train", "val") for n in ("ant", "bee")):
        (folder := tmp_path / "pictures" / split / name).mkdir(parents=True)
        for number in range(4):
            pixels = noise.integers(0, 256, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    asked = Config(
        task="image-classification",
        model=ModelConfig(name="torchvision/squeezenet1_1", weights="none"),
        data=DataConfig(path=str(tmp_path / "pictures"), image_size=24, batch_size=4, workers=0),
        optimizer=OptimizerConfig(lr=1e-3),
        trainable=[Rule("*")],
        training=TrainingConfig(epochs=1, device="cpu", threads=1),
    )
    folder = store.create(asked, tmp_path / "runs")
    events = live(folder, asked)
    kinds = [type(x) for x in events if isinstance(x, e.SpeedMeasured | e.TrainingStarted)]
    assert kinds == [e.SpeedMeasured, e.TrainingStarted]
    worth_it.clear()
    return folder


def test_a_run_keeps_what_was_chosen(parent: Path, worth_it: list[Timed]) -> None:
    asked = toml.load(parent / store.CONFIG)
    longer = replace(asked, training=replace(asked.training, epochs=2))
    events = live(parent, longer)
    started = [x for x in events if isinstance(x, e.TrainingStarted)]
    assert [x.channels_last for x in started] == [True, True]
    assert worth_it == []

    again = fork.create_replay(parent, parent.parent)
    events = live(again, longer)
    (compared,) = (x for x in events if isinstance(x, e.ReplayCompared))
    assert (compared.step, compared.different) == (4, [])
    assert worth_it == []

    other = fork.create_fork(parent, 2, ["training.channels_last=false"], parent.parent)
    events = live(other, toml.load(other / store.CONFIG))
    started = [x for x in events if isinstance(x, e.TrainingStarted)]
    assert started[-1].channels_last is False
    assert worth_it == []


@pytest.mark.parametrize(
    ("trains", "cache", "passes"), [("head", "auto", 1), ("head", "off", 9), ("body", "auto", 9)]
)
def test_a_head_whose_features_are_remembered_is_a_run_of_one_pass(
    tmp_path: Path, trains: str, cache: str, passes: int
) -> None:
    training = TrainingConfig(epochs=9, cache=cache)
    asked = config(trainable=[Rule("*", train=False), Rule(trains)], training=training)
    assert speed._passes(session(tmp_path, asked)) == passes
