"""Runs made of the past of another, by real processes: replays and forks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import squeezenet1_1

import engine
from engine.contract import events as e
from engine.contract import toml
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.errors import UserError
from engine.contract.rules import Rule
from engine.contract.state import RunState
from engine.contract.training_tables import CheckpointConfig, OptimizerConfig, TrainingConfig
from engine.runs import fork, store
from engine.runs.client import Run
from tests.ui.scripted import ScriptedRun

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A small network with Dropout: three steps an epoch, for longer than any test waits."""
    root = tmp_path_factory.mktemp("data")
    noise = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2)):
        for name in ("ant", "bee"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = noise.integers(0, 256, (24, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    torch.save(squeezenet1_1(num_classes=2).state_dict(), root / "w.pth")
    return Config(
        task="image-classification",
        model=ModelConfig(name="torchvision/squeezenet1_1", weights=str(root / "w.pth")),
        data=DataConfig(path=str(root), image_size=24, batch_size=4, workers=0),
        optimizer=OptimizerConfig(lr=1e-3),
        trainable=[Rule("*")],
        training=TrainingConfig(epochs=10**5, device="cpu"),
        checkpoints=CheckpointConfig(every_steps=2, keep_last=5),
    )


async def follow(run: Run, until: Callable[[RunState], object]) -> RunState:
    """Read the run until a condition, or until it has ended."""
    async for _ in run.events():
        if until(run.state):
            break
    return run.state


async def steered(asked: Config, runs: Path) -> Run:
    """A run that was frozen in part, thawed, given two rates, and taken back, then stopped."""
    run = await engine.start(asked, runs)
    await follow(run, lambda state: state.step >= 2)
    await run.send(engine.Freeze("features.0"))
    await run.send(engine.SetLearningRate(0.005))
    await run.send(engine.Checkpoint())
    await follow(run, lambda state: state.step >= 12)
    await run.send(engine.Thaw("features.0", 0.5))
    await follow(run, lambda state: state.step >= 18)
    await run.send(engine.Rewind(run.state.checkpoints[-3].step))
    await run.send(engine.SetLearningRate(0.002))
    end = run.state.step + 6
    await follow(run, lambda state: state.step >= end)
    await run.send(engine.Stop())
    await follow(run, lambda state: False)
    return run


async def test_a_steered_run_is_repeated_and_forked(asked: Config, tmp_path: Path) -> None:
    parent = await steered(asked, tmp_path)
    assert parent.state.phase == "stopped"
    assert any(x.label.startswith("rewound") for x in parent.state.markers)

    repeated = await follow(await engine.replay(parent.folder, tmp_path), lambda state: False)
    assert repeated.error == ""
    assert repeated.comparison
    assert (repeated.comparison.different, repeated.comparison.step) == ([], parent.state.step)
    assert repeated.comparison.tensors == len(squeezenet1_1().state_dict())
    assert repeated.loss.values.tolist() == parent.state.loss.values.tolist()

    for step in (3, parent.state.step - 1):  # without a checkpoint before it, and with one
        child = await engine.fork(parent.folder, step, ["optimizer.lr=0.05"], tmp_path)
        state = await follow(child, lambda state, past=step: state.step >= past + 3)  # type: ignore[misc]
        await child.send(engine.Stop())
        first = child.state.loss.values.tolist().index(next(iter(_finite(child))))
        both = slice(first, step)
        theirs = parent.state.loss.values[both].tolist()
        assert child.state.loss.values[both].tolist() == theirs
        assert child.state.lr.values[step] == pytest.approx(0.05, rel=1e-3)
        assert child.state.base_lr == 0.05
        assert state.parent == e.RunForked(
            parent=str(parent.folder), step=step, time=state.parent.time if state.parent else 0
        )
        config = toml.load(child.folder / store.CONFIG)
        assert config.optimizer.lr == 0.05
        assert config.trainable == fork.config_at(parent.folder, step)[0].trainable


def _finite(run: Run) -> list[float]:
    return [x for x in run.state.loss.values.tolist() if x == x]


async def test_what_can_not_be_forked_is_a_sentence(asked: Config, tmp_path: Path) -> None:
    run = ScriptedRun(tmp_path / "scripted", asked, live=False)
    run.start()
    run.train(3)
    with pytest.raises(UserError, match="can be forked at steps from 0 to 3"):
        await engine.fork(run.folder, 10**6, (), tmp_path)
    with pytest.raises(UserError, match=r'"optimizer\.lrr" is not a setting; did you mean'):
        await engine.fork(run.folder, 1, ["optimizer.lrr=1"], tmp_path)
    run.train(97)  # to the middle of epoch 3
    for override, sentence in (
        ("training.epochs=2", "step 100 is in epoch 3, so a fork from there can't have only 2"),
        ("model.name=torchvision/resnet34", "model.name: a fork goes on with its parent's model"),
        ('trainable=[{match="layer5"}]', '"layer5" matches no parameter.*did you mean "layer'),
        ('stages=[{after="1 epoch",trainable=[{match="stem"}]}]', '"stem" matches no parameter'),
    ):
        with pytest.raises(UserError, match=sentence):
            await engine.fork(run.folder, 100, [override], tmp_path)
    folder = store.create(asked, tmp_path)
    with pytest.raises(UserError, match="no checkpoint yet"):
        await engine.replay(folder, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
