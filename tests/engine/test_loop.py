from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine import pending
from engine.contract import events as e
from engine.contract.config import DataConfig
from engine.contract.errors import UserError
from engine.contract.rules import Rule
from engine.contract.training_tables import (
    CheckpointConfig,
    EarlyStoppingConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainingConfig,
)
from engine.data import Batch
from engine.evaluate import evaluate
from engine.loop import take_step, train
from engine.session import Session
from engine.tasks.classifying import Classifying
from tests.engine.sessions import (
    COUNTS,
    UNGUARDED,
    Batches,
    batches,
    config,
    of,
    pictures,
    run,
    same,
    session,
    tensors,
    tiny_net,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def names(events: list[e.Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def losses(events: list[e.Event]) -> list[float | None]:
    return [loss for event in of(e.StepsTrained, events) for loss in event.loss]


@pytest.fixture
def each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are told as they are taken, not four times a second."""
    monkeypatch.setattr(pending, "SECONDS_BETWEEN_FLUSHES", 0.0)


@pytest.fixture
def at_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are told only before something else is, however slow the machine."""
    monkeypatch.setattr(pending, "SECONDS_BETWEEN_FLUSHES", float("inf"))


@pytest.mark.usefixtures("at_need")
def test_the_events_of_a_run_in_their_order(tmp_path: Path) -> None:
    asked = config(training=TrainingConfig(epochs=2), checkpoints=CheckpointConfig(every_steps=3))
    events = run(session(tmp_path, asked))
    assert names(events) == [
        *("TrainingStarted", "PlanChanged", "CheckpointSaved"),
        *("EpochStarted", "StepsTrained", "CheckpointSaved"),
        *("StepsTrained", "Evaluated", "CheckpointSaved"),
        *("EpochStarted", "StepsTrained", "CheckpointSaved"),
        *("StepsTrained", "CheckpointSaved", "StepsTrained", "Evaluated", "CheckpointSaved"),
        *("ModelSaved", "RunFinished"),
    ]
    assert [x.reason for x in of(e.CheckpointSaved, events)] == [
        *("start", "steps", "epoch", "steps", "steps", "epoch")
    ]
    assert [(x.epoch, x.step) for x in of(e.EpochStarted, events)] == [(1, 0), (2, 5)]
    assert [(x.first_step, x.last_step) for x in of(e.StepsTrained, events)] == [
        *((1, 3), (4, 5), (6, 6), (7, 9), (10, 10))
    ]
    assert [(x.epoch, x.step) for x in of(e.Evaluated, events)] == [(1, 5), (2, 10)]
    started = events[0]
    assert isinstance(started, e.TrainingStarted)
    assert (started.step, started.epochs, started.steps_per_epoch) == (0, 2, 5)


@pytest.mark.usefixtures("each_step")
def test_there_is_a_boundary_after_each_step_and_before_the_first(tmp_path: Path) -> None:
    made = session(tmp_path, config(training=TrainingConfig(epochs=1)))
    at = [made.progress.step for event in train(made) if event is None]
    assert at == [0, 1, 2, 3, 4, 5]


@pytest.mark.usefixtures("each_step")
def test_the_rate_told_is_base_times_schedule(tmp_path: Path) -> None:
    asked = config(
        optimizer=OptimizerConfig(lr=0.1),
        schedule=ScheduleConfig(name="constant", warmup_steps=2),
        training=TrainingConfig(epochs=1),
    )
    told = of(e.StepsTrained, run(session(tmp_path, asked)))
    assert [lr for x in told for lr in x.lr] == pytest.approx([0.05, 0.1, 0.1, 0.1, 0.1])
    assert all(x.samples_per_second > 0 for x in told)


def test_it_learns(tmp_path: Path) -> None:
    images, labels = pictures(24)
    images += labels[:, None, None, None] - 1  # brighter the higher the class
    learnable = Batches([Batch(images, labels, [])])
    asked = config(
        data=DataConfig(path="x", batch_size=24),
        optimizer=OptimizerConfig(name="adamw", lr=0.03),
        training=TrainingConfig(epochs=40),
    )
    events = run(session(tmp_path, asked, data=learnable, val_data=learnable))
    last = of(e.Evaluated, events)[-1]
    assert isinstance(last, e.Evaluated)
    assert last.figures["top1"] > 0.9
    assert last.samples == 24


def linear() -> nn.Sequential:
    """Without BatchNorm and Dropout a step depends on its pictures, not on their batches."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten())
    net.add_module("head", nn.Linear(192, 3))
    return net


@pytest.mark.parametrize("clip", [0.0, 0.1])
def test_accumulated_batches_are_as_one_large_batch(tmp_path: Path, clip: float) -> None:
    """Also with uneven and empty batches, and where fewer are left at the epoch's end."""
    images, labels = pictures(14)
    parts = [0, 4, 7, 7, 10, 12, 14]
    small = Batches(Batch(images[a:b], labels[a:b], []) for a, b in pairwise(parts))
    large = Batches([Batch(images[:10], labels[:10], []), Batch(images[10:], labels[10:], [])])

    def trained(data: Batches, accumulate: int) -> tuple[Session, list[e.Event]]:
        asked = config(
            training=TrainingConfig(epochs=2, accumulate=accumulate, clip_norm=clip),
            schedule=ScheduleConfig("constant"),
        )
        made = session(tmp_path / str(accumulate), asked, linear(), data)
        made.folder.mkdir()
        return made, run(made)

    (one, one_events), (four, four_events) = trained(large, 1), trained(small, 4)
    assert four.progress.step == one.progress.step == 4
    assert losses(four_events) == pytest.approx(losses(one_events))
    for ours, theirs in zip(four.module.parameters(), one.module.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradients_are_clipped_to_the_norm(tmp_path: Path) -> None:
    asked = config(
        optimizer=OptimizerConfig(lr=1.0, momentum=0.0, weight_decay=0.0),
        training=TrainingConfig(clip_norm=0.01),
    )
    made = session(tmp_path, asked, linear())
    before = tensors(made.module)
    take_step(made)
    moved = [made.module.state_dict()[name] - before[name] for name in before]
    assert torch.cat([m.flatten() for m in moved]).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_label_smoothing_is_for_the_training_loss_only(tmp_path: Path) -> None:
    smooth = config(training=TrainingConfig(label_smoothing=0.5))
    logits, labels = torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([0])
    plain, smoothed = Classifying(config(), COUNTS), Classifying(smooth, COUNTS)
    assert plain.loss(logits, labels) < smoothed.loss(logits, labels)
    for one, other in zip(*(x.measure(logits, labels)[:2] for x in (plain, smoothed)), strict=True):
        assert torch.equal(one, other)


def test_top5_is_told_from_six_classes_on() -> None:
    task = Classifying(config(), [1] * 6)
    logits = torch.tensor([[9.0, 8, 7, 6, 5, 4], [9.0, 8, 7, 6, 5, 4]])
    sums, rows, _ = task.measure(logits, torch.tensor([4, 5]))
    assert task.figures(sums.tolist(), rows).figures == {"top1": 0.0, "top5": 0.5}
    fewer = Classifying(config(), [1] * 5)
    assert fewer.figures(sums.tolist(), rows).figures == {"top1": 0.0}


def test_the_figures_of_an_evaluation_are_over_pictures(tmp_path: Path) -> None:
    val = batches(4, 1, 0, 3)
    made = session(tmp_path, module=linear(), val_data=val)
    told = evaluate(made, "command")
    assert told is not None
    images = torch.cat([b.inputs for b in val])
    labels = torch.cat([b.targets for b in val])
    logits = made.module(images)
    assert told.loss == pytest.approx(nn.functional.cross_entropy(logits, labels).item())
    assert told.figures["top1"] == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    assert told.samples == 8


class Noisy(nn.Module):
    """Draws random numbers even in eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


def test_an_evaluation_leaves_everything_as_it_was(tmp_path: Path) -> None:
    made = session(tmp_path, module=nn.Sequential(Noisy(), *tiny_net().children()))
    take_step(made)
    before, generator = tensors(made.module), torch.get_rng_state()
    modes = [child.training for child in made.module.modules()]
    evaluate(made, "command")
    assert same(before, tensors(made.module))
    assert torch.equal(generator, torch.get_rng_state())
    assert modes == [child.training for child in made.module.modules()]


def test_an_evaluation_is_given_up_when_the_run_is_to_end(tmp_path: Path) -> None:
    made = session(tmp_path, config(training=TrainingConfig(epochs=1)))
    events = train(made)
    for event in events:
        if isinstance(event, e.StepsTrained):
            break
    made.progress.batch = len(made.train_data)
    made.stopping = "SIGTERM"
    assert next(events) is None
    assert evaluate(made, "epoch") is None
    assert made.module.training


def test_an_evaluation_of_no_picture_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no validation sample"):
        evaluate(session(tmp_path, val_data=batches(0)), "command")


@pytest.mark.usefixtures("at_need")
def test_a_batch_without_pictures_is_no_step(tmp_path: Path) -> None:
    asked = config(training=TrainingConfig(epochs=1))
    empty = Batch(*pictures(0), [e.FileSkipped(path="a.jpg", reason="broken")])
    data = Batches([*batches(4), empty, *batches(3)])
    events = run(session(tmp_path, asked, data=data))
    assert len(losses(events)) == 2
    assert [x.path for x in of(e.FileSkipped, events)] == ["a.jpg"]
    assert isinstance(events[-1], e.RunFinished)


def test_an_epoch_without_any_picture_ends(tmp_path: Path) -> None:
    events = run(session(tmp_path, config(training=TrainingConfig(epochs=1)), data=batches(0, 0)))
    assert losses(events) == []
    assert events[-1] == e.RunFinished(step=0, time=events[-1].time)


def test_a_file_is_told_once_in_all_epochs_and_lives(tmp_path: Path) -> None:
    skipped = [e.FileSkipped(path=path, reason="broken") for path in ("new.jpg", "told.jpg")]
    data = Batches([Batch(*pictures(4), skipped)])
    made = session(tmp_path, config(training=TrainingConfig(epochs=3)), data=data, val_data=data)
    made.pending = pending.Pending(made.progress, ["told.jpg"], lambda step, loss: None)
    assert [x.path for x in of(e.FileSkipped, run(made))] == ["new.jpg"]


def nan_at(*numbers: int) -> Batches:
    data = batches(*[4] * 8)
    for number in numbers:
        data[number].inputs[:] = float("nan")
    return data


class Forgetful(nn.Module):
    """Its loss is that of its pictures alone, whatever was learnt before."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3))[:, None].expand(-1, 3) + 0 * torch.nan_to_num(
            self.head.weight.sum()
        )


@pytest.mark.parametrize("flush", ["each_step", "at_need"])
def test_a_loss_that_is_not_finite_is_told_once_a_stretch(
    tmp_path: Path, flush: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(flush)
    asked = config(training=TrainingConfig(epochs=1), guard=UNGUARDED)
    events = run(session(tmp_path, asked, Forgetful(), nan_at(1, 2, 5, 7), nan_at(0)))
    assert [x.step for x in of(e.NonFiniteLoss, events)] == [2, 6, 8]
    assert {x.value for x in of(e.NonFiniteLoss, events)} == {"nan"}
    assert [number for number, loss in enumerate(losses(events)) if loss is None] == [1, 2, 5, 7]
    assert of(e.Evaluated, events)[0].loss is None
    assert isinstance(events[-1], e.RunFinished)


def test_early_stopping_ends_the_run_and_tells_the_best(tmp_path: Path) -> None:
    asked = config(
        optimizer=OptimizerConfig(lr=1e-12),
        training=TrainingConfig(epochs=9),
        early_stopping=EarlyStoppingConfig(metric="val_loss", patience=2, min_delta=0.5),
    )
    events = run(session(tmp_path, asked))
    evaluations = of(e.Evaluated, events)
    assert len(evaluations) == 3  # the first is the best, two are not better
    assert names(events)[-4:] == ["CheckpointSaved", "ModelSaved", "EarlyStopped", "RunFinished"]
    stopped = of(e.EarlyStopped, events)[0]
    assert stopped.best == evaluations[0].loss


def test_losses_that_are_never_finite_stop_early_too(tmp_path: Path) -> None:
    asked = config(
        training=TrainingConfig(epochs=9), early_stopping=EarlyStoppingConfig(patience=2)
    )
    events = run(session(tmp_path, asked, val_data=nan_at(0)))
    assert of(e.EarlyStopped, events)[0].best is None


def single(tmp_path: Path, batch_size: int, *sizes: int) -> Session:
    """BatchNorm over single values, which one picture can't give a variance."""
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192))
    net.add_module("head", nn.Linear(192, 3))
    asked = config(
        data=DataConfig(path="x", batch_size=batch_size), training=TrainingConfig(epochs=1)
    )
    return session(tmp_path, asked, net, batches(*sizes))


def test_batch_norm_on_batches_of_one_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.batch_size: .*freeze the norms"):
        run(single(tmp_path, 1, 1, 1))


def test_a_frozen_norm_takes_batches_of_one(tmp_path: Path) -> None:
    made = single(tmp_path, 1, 1, 1)
    made.set_plan([Rule("head")])
    assert len(losses(run(made))) == 2


def test_one_picture_left_of_a_batch_by_broken_ones_is_passed_over(tmp_path: Path) -> None:
    assert len(losses(run(single(tmp_path, 4, 4, 1, 3)))) == 2


def test_bf16_autocast_on_a_cpu_trains(tmp_path: Path) -> None:
    asked = config(training=TrainingConfig(epochs=1, precision="bf16"))
    made = session(tmp_path, asked)
    events = run(made)
    assert events[0].precision == "bf16"
    assert None not in losses(events)
    assert {p.dtype for p in made.module.parameters()} == {torch.float32}
