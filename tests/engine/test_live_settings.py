"""Settings changed while a run trains: in force from the next step, and after a resume."""

from pathlib import Path

import pytest
import torch

from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.training_tables import CheckpointConfig, OptimizerConfig, TrainingConfig
from tests.engine.sessions import ToyWorker, config, fold, of, run, same, session, tensors

pytestmark = pytest.mark.usefixtures("one_thread")

ASKED = config(
    training=TrainingConfig(epochs=3),
    optimizer=OptimizerConfig(lr=0.05, weight_decay=0.0),
    checkpoints=CheckpointConfig(every_steps=4),
)


def trained(folder: Path, *script: tuple[int, c.AnyCommand]) -> tuple[list[e.Event], ToyWorker]:
    folder.mkdir()
    worker = ToyWorker(folder, ASKED, list(script))
    worker.live()
    return worker.journal, worker


def decays(worker: ToyWorker) -> set[float]:
    return {group["weight_decay"] for group in worker.session.optimizer.param_groups}


def test_weight_decay(tmp_path: Path) -> None:
    events, worker = trained(tmp_path / "a", (3, c.SetOption("optimizer.weight_decay", "0.5")))
    _, plain = trained(tmp_path / "b")
    assert decays(worker) == {0.0, 0.5}
    assert decays(plain) == {0.0}
    assert not same(tensors(worker.session.module), tensors(plain.session.module))
    (changed,) = of(e.OptionChanged, events)
    assert (changed.step, changed.key, changed.value) == (3, "optimizer.weight_decay", "0.5")  # type: ignore[attr-defined]
    state = fold(events)
    assert state.config
    assert state.config.optimizer.weight_decay == 0.5
    assert state.asked == ASKED
    assert [x.label for x in state.markers if x.step == 3] == ["weight_decay 0.5"]


@pytest.mark.parametrize(("epochs", "steps"), [("5", 25), ("2", 10)])
def test_epochs(tmp_path: Path, epochs: str, steps: int) -> None:
    events, _ = trained(tmp_path / "a", (7, c.SetOption("training.epochs", epochs)))
    state = fold(events)
    assert (state.step, state.epochs, state.phase) == (steps, int(epochs), "finished")


def test_patience_ends_a_run_at_its_next_evaluation(tmp_path: Path) -> None:
    never = [(1, c.SetOption("early_stopping.min_delta", "100"))]
    events, _ = trained(tmp_path / "a", *never, (6, c.SetOption("early_stopping.patience", "1")))
    assert len(of(e.EarlyStopped, events)) == 1
    assert fold(events).step == 10


def test_augmentation_from_the_very_next_batch(tmp_path: Path) -> None:
    """In mid-epoch, and each batch is still seen once."""
    seen = []
    made = session(tmp_path, ASKED)
    made.module.register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0].clone()) if module.training else None
    )
    run(made, [(2, c.SetOption("data.augment_strength", "0.5"))])
    plain = session(tmp_path, ASKED)
    whole = list(plain.train_data.epoch(1))
    assert [len(x.inputs) for x in whole] == [len(x) for x in seen[:5]]
    for number, batch in enumerate(whole):
        assert torch.equal(seen[number], batch.inputs * (1.0 if number < 2 else 0.5))


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("optimizer.momentum", "0.5", "can't be changed while a run trains; did you mean"),
        ("optimizer.lr", "0.5", "the learning rate has a command of its own"),
        ("training.epochs", "1", "epoch 2 is under way, so it can't be 1"),
        ("training.epochs", "many", "training.epochs must be a whole number"),
        ("early_stopping.patience", "-1", "must be a whole number at least 0"),
        ("data.augment", "wild", 'must be one of "none"'),
    ],
)
def test_what_is_refused_changes_nothing(tmp_path: Path, key: str, value: str, says: str) -> None:
    events, worker = trained(tmp_path / "a", (7, c.SetOption(key, value)))
    (refused,) = of(e.CommandRejected, events)
    assert says in refused.reason  # type: ignore[attr-defined]
    assert worker.session.config == ASKED
    assert worker.session.progress.options == {}


SCRIPT = [
    (2, c.SetOption("optimizer.weight_decay", "0.1")),
    (3, c.SetOption("data.augment_strength", "0.5")),
    (6, c.SetOption("training.epochs", "4")),
    (7, c.SetOption("data.augment", "trivial")),
    (12, c.SetOption("training.clip_norm", "0.1")),
]


def test_killed_at_every_place(tmp_path: Path) -> None:
    _, calm = trained(tmp_path / "calm", *SCRIPT)
    for place in range(0, 60, 3):
        (tmp_path / str(place)).mkdir()
        struck = ToyWorker(tmp_path / str(place), ASKED, list(SCRIPT))
        if not struck.live(place):
            struck.live()
        assert same(tensors(struck.session.module), tensors(calm.session.module)), place
        assert fold(struck.journal).config == fold(calm.journal).config
        assert fold(struck.journal).epochs == 4


def test_a_config_that_is_changed_for_a_resume_wins(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    script = [(2, c.SetOption("training.epochs", "9")), (2, c.SetOption("training.clip_norm", "1"))]
    worker = ToyWorker(tmp_path / "a", ASKED, list(script))
    worker.live(steps=6)
    worker.asked = config(
        training=TrainingConfig(epochs=2),
        optimizer=ASKED.optimizer,
        checkpoints=ASKED.checkpoints,
    )
    worker.live()
    assert fold(worker.journal).step == 10
    assert worker.session.progress.options == {"training.clip_norm": "1"}
