"""A run that is killed, anywhere and more than once, ends as if nothing had happened."""

import shutil
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from safetensors.torch import load_file
from torch import nn

from engine import optim, pending
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.config import Config, DataConfig
from engine.contract.rules import Rule
from engine.contract.training_tables import (
    CheckpointConfig,
    EarlyStoppingConfig,
    OptimizerConfig,
    RegularisationConfig,
    ScheduleConfig,
    TrainingConfig,
)
from engine.finish import FILE
from tests.engine.sessions import (
    UNGUARDED,
    Script,
    ToyWorker,
    config,
    fold,
    of,
    same,
    tensors,
    tiny_net,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same events however slow the machine, so that a number of them means the same place."""
    monkeypatch.setattr(pending, "SECONDS_BETWEEN_FLUSHES", float("inf"))


EPOCHS, STEPS_PER_EPOCH = 3, 5

ADAPTERS = [Rule("*", lora=2), Rule("body", lora=1, dora=True), Rule("head")]
steering = st.one_of(
    st.builds(c.SetLearningRate, st.sampled_from([0.03, 0.3])),
    st.builds(c.Freeze, st.sampled_from(["stem", "body", "*.bias", "type:BatchNorm2d"])),
    st.builds(c.Thaw, st.sampled_from(["stem", "body", "*"]), st.sampled_from([1.0, 0.1])),
    st.builds(c.SetPlan, st.just([Rule(match="head"), Rule(match="body.1")])),
    st.builds(c.SetPlan, st.just(ADAPTERS)),
    st.builds(
        c.SetPlan,
        st.just(
            [Rule("last:1", weight_decay=0.3), Rule("re:body|head", lr_scale=0.5, reinit=True)]
        ),
    ),
    st.builds(c.AutoRGN),
)
other = st.sampled_from([c.Evaluate, c.Checkpoint, c.Pause, c.Resume]).map(lambda kind: kind())
script = st.lists(
    st.tuples(st.integers(0, EPOCHS * STEPS_PER_EPOCH - 1), st.one_of(steering, steering, other)),
    max_size=5,
).map(lambda commands: sorted(commands, key=lambda item: item[0]))

optimizer = st.builds(
    OptimizerConfig,
    name=st.sampled_from(["sgd", "adamw"]),
    lr=st.just(0.05),
    momentum=st.sampled_from([0.0, 0.9]),
    nesterov=st.booleans(),
    frozen_moments=st.sampled_from(["reset", "keep"]),
)
REGULARISED = RegularisationConfig(mixup=0.4, cutmix=1.0, sampling="balanced")
AVERAGED = RegularisationConfig(ema=0.9, l2_sp=0.1, wise_ft=True)
regularisations = [
    RegularisationConfig(),
    RegularisationConfig(cutmix=1.0, class_weights="balanced"),
    REGULARISED,
    AVERAGED,
]
plans = [ADAPTERS, [Rule("*")], [Rule("*", weight_decay=0.1), Rule("stem", reinit=True)]]
configs = st.builds(
    config,
    trainable=st.sampled_from(plans),
    optimizer=optimizer,
    schedule=st.builds(ScheduleConfig, warmup_steps=st.sampled_from([0, 3])),
    training=st.builds(
        TrainingConfig,
        epochs=st.just(EPOCHS),
        accumulate=st.sampled_from([1, 2]),
        clip_norm=st.sampled_from([0.0, 0.5]),
        auto_rgn=st.booleans(),
    ),
    regularisation=st.sampled_from(regularisations),
    early_stopping=st.builds(EarlyStoppingConfig, patience=st.sampled_from([0, 1])),
    checkpoints=st.builds(CheckpointConfig, every_steps=st.sampled_from([0, 1, 2])),
)


def result(worker: ToyWorker) -> dict[str, object]:
    """All that must not depend on how often a run died; figures of evaluations included."""
    session, state = worker.session, fold(worker.journal)
    p = session.progress
    progress = replace(p, steering=sorted(p.steering), configs=0)  # that is how it came about
    return {
        "progress": progress,
        "losses": state.loss.values.tolist(),
        "rates": state.lr.values.tolist(),
        "plan": (state.rules, state.base_lr, state.trainable),
        "markers": sorted(x for x in state.markers if x.label not in ("pause", "resume")),
        "evaluations": [
            (x.step, x.loss, x.figures["top1"]) for x in state.evaluations if x.reason == "epoch"
        ],
        "averaged": [
            (x.step, x.loss, x.figures["top1"]) for x in state.averaged if x.reason == "epoch"
        ],
        "blends": [(x.step, x.alpha, x.loss, x.figures["top1"]) for x in state.interpolations],
        "model": state.saved_model and (state.saved_model.step, state.saved_model.weights),
        "end": (state.phase, state.early_stopped is not None),
    }


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(asked=configs, commands=script, lives=st.lists(st.integers(0, 40), max_size=3))
def test_killed_anywhere(asked: Config, commands: Script, lives: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        calm = ToyWorker(Path(folder, "calm"), asked, list(commands))
        struck = ToyWorker(Path(folder, "struck"), asked, list(commands))
        calm.folder.mkdir()
        struck.folder.mkdir()
        calm.live()
        for yields in lives:
            if struck.live(yields):
                break  # it finished before it could be killed
        else:
            struck.live()
        compare(calm, struck)
        assert fold(calm.journal).answers.keys() == fold(struck.journal).answers.keys()


def never_better(epochs: int, patience: int) -> Config:
    """After the first epoch nothing counts as better, and the rate knows no end."""
    return config(
        schedule=ScheduleConfig("constant"),
        training=TrainingConfig(epochs=epochs),
        early_stopping=EarlyStoppingConfig(patience=patience, min_delta=1e5),
    )


def toy(folder: Path, asked: Config, *commands: tuple[float, c.AnyCommand]) -> ToyWorker:
    folder.mkdir()
    return ToyWorker(folder, asked, list(commands))


def test_a_run_that_stopped_early_goes_on_also_if_it_is_killed_at_once(tmp_path: Path) -> None:
    worker = toy(tmp_path / "run", never_better(epochs=5, patience=1))
    worker.live()
    worker.asked = never_better(epochs=9, patience=1)
    worker.live(steps=11)
    worker.live()
    assert [x.step for x in fold(worker.journal).evaluations] == [5, 10, 15]
    (first, _again) = fold(worker.journal).warnings
    assert first == (
        "Early stopping had ended the run after epoch 2; it goes on to epoch 9, or until val_loss "
        "is no better for another epoch (early_stopping.patience; 0 never stops)."
    )


def test_more_epochs_are_as_if_asked_for_at_once(tmp_path: Path) -> None:
    calm = toy(tmp_path / "calm", never_better(epochs=20, patience=4))
    calm.live()
    longer = toy(tmp_path / "longer", never_better(epochs=3, patience=4))
    longer.live()
    longer.asked = calm.asked
    longer.live()
    compare(calm, longer)


@pytest.mark.parametrize("changed", [{"batch_size": 9}, {"batch_size": 2}, {"augment": "none"}])
@pytest.mark.parametrize(("died", "steps"), [(11, 10), (14, 12)])
def test_data_read_otherwise_leaves_the_schedule_at_its_epoch(
    tmp_path: Path, changed: dict[str, Any], died: int, steps: int
) -> None:
    """Warm-up is over by then. In mid-epoch, that epoch begins anew."""
    then = config(
        schedule=ScheduleConfig(warmup_steps=2),
        training=TrainingConfig(epochs=4),
        checkpoints=CheckpointConfig(every_steps=3),
    )
    now = replace(then, data=replace(then.data, **changed))
    calm = toy(tmp_path / "calm", now)
    calm.live()
    struck = toy(tmp_path / "struck", then)
    struck.live(steps=died)
    struck.asked = now
    for _ in range(2):  # the first life saves nothing of the change
        struck.live(yields=1)
    struck.live()
    expected, got = fold(calm.journal), fold(struck.journal)
    two_epochs = 2 * expected.steps_per_epoch
    assert got.lr.values.tolist()[steps:] == expected.lr.values.tolist()[-two_epochs:]
    assert got.step == got.total_steps == steps + two_epochs
    assert any("so epoch 3 begins anew" in x for x in got.warnings) == (steps == 12)


def test_a_change_of_the_data_and_back_leaves_the_schedule_as_it_was(tmp_path: Path) -> None:
    then = config(training=TrainingConfig(epochs=4))
    calm, struck = toy(tmp_path / "calm", then), toy(tmp_path / "struck", then)
    calm.live()
    struck.live(steps=6)
    for asked, steps in ((replace(then, data=replace(then.data, batch_size=9)), 8), (then, 99)):
        struck.asked = asked
        struck.live(steps=steps)
    expected, got = fold(calm.journal), fold(struck.journal)
    assert got.lr.values.tolist()[7:] == expected.lr.values.tolist()[10:]
    assert got.total_steps == 17


def test_a_command_after_a_change_of_the_config_is_not_lost(tmp_path: Path) -> None:
    """And one before it is void."""
    every = CheckpointConfig(every_steps=2)
    before = (3, c.SetLearningRate(0.3))
    worker = toy(tmp_path / "run", config(checkpoints=every), before)
    worker.live(steps=3)
    assert worker.session.progress.base_lr == 0.3
    worker.asked = config(checkpoints=every, optimizer=OptimizerConfig(lr=0.05))
    worker.script = [(2, c.Freeze("stem")), (2, c.SetLearningRate(0.5))]
    worker.live(steps=3)
    assert worker.session.progress.base_lr == 0.5
    for _ in range(2):  # both times from the checkpoint of step 2
        worker.live(steps=3)
        assert worker.session.progress.base_lr == 0.5
        assert not worker.session.module.stem[0].weight.requires_grad


EVERY_FIVE = CheckpointConfig(every_steps=5)


def test_a_plan_that_is_newer_than_one_to_be_redone_stands(tmp_path: Path) -> None:
    """To repeat `freeze head` where only the head trains would end every life in an error."""
    longer = config(data=DataConfig(path="pictures", batch_size=2), checkpoints=EVERY_FIVE)
    worker = toy(tmp_path / "run", longer, (7, c.Freeze("head")))
    worker.live(steps=8)
    worker.script = [(6, c.SetPlan([Rule("head")]))]
    for _ in range(2):  # both times from the checkpoint of step 5
        worker.live(steps=8)
        assert worker.session.progress.rules[-1] == Rule("head")
    assert fold(worker.journal).warnings == [
        "Not repeated, since 'plan' is newer: 'freeze head' of step 7."
    ]
    assert worker.live()


def test_a_rate_that_is_newer_than_one_to_be_redone_stands(tmp_path: Path) -> None:
    longer = config(data=DataConfig(path="pictures", batch_size=2), checkpoints=EVERY_FIVE)
    worker = toy(tmp_path / "run", longer, (7, c.SetLearningRate(0.5)), (7, c.Freeze("stem")))
    worker.live(steps=8)
    worker.script = [(6, c.SetLearningRate(0.001))]
    worker.live(steps=8)
    worker.live()
    assert worker.session.progress.base_lr == 0.001
    assert worker.session.progress.rules[-1] == Rule("stem", train=False), "of another kind"


def without_a_stem() -> nn.Module:
    """The tiny network, its stem under another name."""
    return nn.Sequential(
        OrderedDict((name.replace("stem", "root"), m) for name, m in tiny_net().named_children())
    )


def test_what_can_not_be_redone_is_told_once_and_given_up(tmp_path: Path) -> None:
    """A run that dies before its first checkpoint may go on with another model."""
    asked = config(checkpoints=EVERY_FIVE, guard=UNGUARDED)
    worker = toy(tmp_path / "run", asked, (2, c.Freeze("stem")))
    worker.live(steps=2)
    worker.model = without_a_stem
    worker.live(steps=7)
    worker.live()
    (warning,) = (x.message for x in of(e.Warned, worker.journal))
    assert warning.startswith("'freeze stem' of step 2 could not be repeated: ")


@pytest.mark.parametrize(("name", "regularisation"), [("sgd", REGULARISED), ("adamw", AVERAGED)])
def test_killed_at_every_step(
    tmp_path: Path, name: str, regularisation: RegularisationConfig
) -> None:
    asked = config(
        optimizer=OptimizerConfig(name=name, lr=0.05),
        regularisation=regularisation,
        training=TrainingConfig(epochs=2),
        checkpoints=CheckpointConfig(every_steps=3),
    )
    commands = [
        (2, c.Freeze("stem")),
        (4, c.SetLearningRate(0.2)),
        (6, c.Thaw("stem", 0.5)),
        (7, c.Freeze("type:BatchNorm2d")),
    ]
    calm = ToyWorker(tmp_path / "calm", asked, list(commands))
    calm.folder.mkdir()
    calm.live()
    for yields in range(40):
        struck = ToyWorker(tmp_path / "struck", asked, list(commands))
        struck.folder.mkdir()
        if struck.live(yields):
            break
        struck.live()
        compare(calm, struck)
        shutil.rmtree(struck.folder)
    assert yields > 15, "no step was left out"


def test_killed_at_every_step_while_adapters_come_and_go(tmp_path: Path) -> None:
    asked = config(
        optimizer=OptimizerConfig(name="adamw", lr=0.05, frozen_moments="keep"),
        training=TrainingConfig(epochs=2),
        checkpoints=CheckpointConfig(every_steps=2),
    )
    commands = [
        (1, c.SetPlan(ADAPTERS)),
        (4, c.SetPlan([Rule("*", lora=1), Rule("head.bias")])),
        (6, c.Freeze("body")),
        (8, c.Thaw("stem", 0.5)),
    ]
    calm = toy(tmp_path / "calm", asked, *commands)
    calm.live()
    told = [x for x in of(e.PlanChanged, calm.journal) if isinstance(x, e.PlanChanged)]
    merged = [x.change.rpartition("; ")[2] for x in told if "merged" in x.change]
    assert merged == [f"adapters of {n} layers merged" for n in (2, 1, 1)]
    for yields in range(60):
        struck = toy(tmp_path / "struck", asked, *commands)
        if struck.live(yields):
            break
        struck.live()
        compare(calm, struck)
        shutil.rmtree(struck.folder)
    assert yields > 15, "no step was left out"


def test_other_sampling_begins_the_epoch_anew_and_other_mixing_does_not(tmp_path: Path) -> None:
    every = CheckpointConfig(every_steps=1)
    for changed, batch in (
        (RegularisationConfig(mixup=0.2), 3),
        (RegularisationConfig(sampling="balanced"), 0),
    ):
        worker = toy(tmp_path / f"at-{batch}", config(checkpoints=every))
        worker.live(steps=3)
        worker.asked = config(checkpoints=every, regularisation=changed)
        worker.live(yields=0)
        assert worker.session.progress.batch == batch


def compare(calm: ToyWorker, struck: ToyWorker) -> None:
    expected, got = result(calm), result(struck)
    assert got == expected
    assert same(tensors(calm.session.module), tensors(struck.session.module))
    moments, others = (
        optim.state_by_name(x.session.optimizer, x.session.module) for x in (calm, struck)
    )
    assert moments.keys() == others.keys()
    assert all(same(moments[name], others[name]) for name in moments)
    assert same(calm.generators, struck.generators)
    average, other = calm.session.average, struck.session.average
    if average and other:
        shadows = average.state(calm.session.module), other.state(struck.session.module)
        assert shadows[0]["updates"] == shadows[1]["updates"] > 0
        assert same(shadows[0]["shadows"], shadows[1]["shadows"])
    assert same(load_file(calm.folder / FILE), load_file(struck.folder / FILE))
