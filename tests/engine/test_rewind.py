"""Back to a checkpoint: as if what came after it had never been; and the guard that does it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from torch import nn

from engine import checkpoint, pending, rewind
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.config import Config, DataConfig
from engine.contract.errors import UserError
from engine.contract.rules import Rule
from engine.contract.training_tables import (
    CheckpointConfig,
    EarlyStoppingConfig,
    GuardConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainingConfig,
)
from engine.guard import Alarm, Guard
from engine.progress import Progress
from tests.engine.sessions import (
    Script,
    ToyWorker,
    config,
    fold,
    of,
    run,
    same,
    session,
    tensors,
    tiny_net,
)

pytestmark = pytest.mark.usefixtures("one_thread")

EPOCHS = 3
"""Of five steps."""


def asked(**tables: Any) -> Config:
    return config(
        training=TrainingConfig(epochs=EPOCHS),
        checkpoints=CheckpointConfig(every_steps=3, keep_last=9),
        **tables,
    )


def toy(folder: Path, *commands: tuple[float, c.AnyCommand], **tables: Any) -> ToyWorker:
    folder.mkdir()
    return ToyWorker(folder, asked(**tables), list(commands))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize(("at", "to"), [(8, 6), (8, 8), (10, 5), (10.5, 10), (4, 0)])
def test_what_was_given_up_leaves_no_trace(
    tmp_path: Path, optimizer: str, at: float, to: int
) -> None:
    there = max(step for step in (0, 3, 5, 6, 9, 10) if step <= to)
    kept = [(1, c.Thaw("body", 0.5))] if there else []
    given_up = [(there + 1, c.SetLearningRate(0.5)), (there + 1, c.Freeze("stem"))]
    script: Script = [*kept, *(x for x in given_up if x[0] <= at), (at, c.Rewind(to))]
    tables = {"optimizer": OptimizerConfig(name=optimizer, lr=0.05)}  # type: ignore[arg-type]
    calm = toy(tmp_path / "calm", *kept, **tables)
    calm.live()
    back = toy(tmp_path / "back", *script, **tables)
    back.live()
    state, plain = fold(back.journal), fold(calm.journal)
    assert same(tensors(back.session.module), tensors(calm.session.module))
    assert state.loss.values.tolist() == plain.loss.values.tolist()
    assert state.lr.values.tolist() == plain.lr.values.tolist()
    assert (state.rules, state.base_lr) == (plain.rules, plain.base_lr)
    assert [x.step for x in state.evaluations] == [5, 10, 15]
    (rewound,) = of(e.Rewound, back.journal)
    assert rewound.from_step == int(at)  # type: ignore[attr-defined]
    assert rewound.step == there  # type: ignore[attr-defined]


def test_a_rewind_to_nowhere_is_refused(tmp_path: Path) -> None:
    made = session(tmp_path, asked(guard=GuardConfig(rollbacks=0)))
    before = [(2, c.Rewind(1)), (4, c.Rewind(2))]
    first, second = of(e.CommandRejected, run(made, before))
    assert "no checkpoint at or before step 1; there is none yet." in first.reason  # type: ignore[attr-defined]
    assert "at or before step 2; there are those of step 3." in second.reason  # type: ignore[attr-defined]


def test_checkpoints_that_are_given_up_go_but_the_best_stays_aside(tmp_path: Path) -> None:
    worker = toy(tmp_path / "run", (12, c.Rewind(5)))
    worker.live(steps=11)
    worker.live(steps=5)
    there = {path.name for path in (worker.folder / checkpoint.FOLDER).iterdir()}
    best = [x.step for x in of(e.CheckpointSaved, worker.journal) if x.best and x.step > 5]  # type: ignore[attr-defined]
    assert {name for name in there if name.startswith("step-")} == {
        *("step-00000000", "step-00000003", "step-00000005-2")
    }
    assert best
    assert "given-up-best" in there


def test_the_best_is_again_what_it_was_then(tmp_path: Path) -> None:
    """Step 6 is no evaluation's; of those before it the one of step 5 is the best."""
    worker = toy(tmp_path / "run", (12, c.Rewind(8)))
    worker.live(steps=11)
    given_up = worker.session.progress.best
    worker.live(steps=6)
    best, now = checkpoint.best(worker.folder).manifest.progress, worker.session.progress
    assert (best.step, best.best) == (5, now.best)
    assert now.best != given_up, "step 10 was better"


class Explosive(nn.Module):
    """Its loss is a logarithm of its weight, which a large rate makes infinite."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(192, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(x.flatten(1))
        return logits * (1 + self.head.weight.abs().max() ** 4)


@pytest.mark.parametrize("told", [0.0, float("inf")], ids=["each_step", "late"])
def test_a_loss_that_is_not_finite_goes_back_and_lowers_the_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: float
) -> None:
    """The same, however late it is noticed; the checkpoint of step 9 is past saving."""
    monkeypatch.setattr(pending, "SECONDS_BETWEEN_FLUSHES", told)
    script: Script = [(6, c.SetLearningRate(1e3)), (14, c.Freeze("head.bias"))]
    worker = toy(tmp_path / "run", *script, optimizer=OptimizerConfig(lr=1e-4))
    worker.model = Explosive
    worker.live()
    state = fold(worker.journal)
    back = of(e.Rewound, worker.journal)
    assert [(x.step, x.by_guard) for x in back] == [(9, True), (6, True)]  # type: ignore[attr-defined]
    assert all("the loss became" in x.reason for x in back)  # type: ignore[attr-defined]
    assert state.base_lr == 5e-5, "half of what it was at the good checkpoint, which is lower"
    assert all(torch.isfinite(x).all() for x in worker.session.module.state_dict().values())
    assert state.phase == "finished"
    assert Rule("head.bias", train=False) in state.rules


def test_the_guard_takes_back_nothing_that_was_steered_while_live(tmp_path: Path) -> None:
    """The rate is lower than at the checkpoint of step 6, and is lowered from there."""
    script: Script = [(7, c.SetLearningRate(1e-5)), (7, c.Freeze("head.bias"))]
    script = [*script, (7, c.SetOption("training.epochs", "4"))]
    worker = toy(tmp_path / "run", *script, optimizer=OptimizerConfig(lr=0.1))

    def spoilt(module: nn.Module, _: object, logits: torch.Tensor) -> torch.Tensor:
        p = worker.session.progress
        return logits * float("nan") if p.step == 7 and not p.rollbacks else logits

    def build() -> nn.Module:
        module = tiny_net()
        module.head.register_forward_hook(spoilt)  # type: ignore[union-attr,arg-type]
        return module

    worker.model = build
    worker.live()
    state, (back,) = fold(worker.journal), of(e.Rewound, worker.journal)
    assert (back.step, back.lr) == (6, 5e-6)  # type: ignore[attr-defined]
    assert (state.base_lr, state.rules[-1]) == (5e-6, Rule("head.bias", train=False))
    assert state.step == 20


def test_the_guard_gives_up_at_its_limit(tmp_path: Path) -> None:
    guard = GuardConfig(rollbacks=2, lr_factor=1.0)
    worker = toy(tmp_path / "run", optimizer=OptimizerConfig(lr=1e3), guard=guard)
    worker.model = Explosive
    with pytest.raises(UserError, match=r"the loss became .*, after 2 rollbacks; set optimizer.lr"):
        worker.live()
    assert len(of(e.Rewound, worker.journal)) == 2


def test_a_checkpoint_whose_weights_are_not_finite_is_passed_over(tmp_path: Path) -> None:
    """A step can spoil the weights while its loss, from before it, is fine."""
    worker = toy(tmp_path / "run", optimizer=OptimizerConfig(lr=1e-4))
    worker.model = Explosive
    worker.live(steps=5)
    with torch.no_grad():
        worker.session.module.head.weight[0, 0] = float("nan")  # type: ignore[union-attr,index]
    from engine.loop import train
    from engine.saving import save

    worker.session.progress.rewinds += 1  # so that it is saved
    list(save(worker.session, "command"))
    events = [x for x in train(worker.session) if x is not None]
    (back,) = of(e.Rewound, events)
    assert back.step == 3  # type: ignore[attr-defined]


def test_what_is_a_spike() -> None:
    asked, p = GuardConfig(spike=10), Progress(0.1, [Rule("*")])
    guard = Guard(p, patient=False)
    for step in range(1, 60):
        guard.watch(step, 2.0 + 0.1 * (step % 3), asked)
    assert guard.alarm is None
    assert len(p.recent) == 50
    guard.watch(60, 3.0, asked)
    assert guard.alarm is None, "not that far outside"
    guard.watch(61, 9.0, asked)
    assert guard.alarm
    assert (guard.alarm.step, guard.alarm.finite) == (61, True)
    assert 9.0 not in p.recent


def test_a_spike_that_stays_is_told_once(tmp_path: Path) -> None:
    made = session(tmp_path, asked(guard=GuardConfig(rollbacks=0, spike=2)))
    told = list[e.Event]()
    for step in (1, 2, 3):
        made.guard.alarm = Alarm(step, "the loss rose", finite=True)
        told += rewind.if_alarmed(made)
    assert [x.message for x in of(e.Warned, told)] == [  # type: ignore[attr-defined]
        "At step 1 the loss rose, with no good checkpoint to go to: the run goes on as it is."
    ]


def test_the_first_steps_are_no_spikes() -> None:
    guard = Guard(Progress(0.1, [Rule("*")]), patient=False)
    for step, loss in enumerate([1.0, 100.0, 1.0, 1e6]):
        guard.watch(step, loss, GuardConfig(spike=2))
    assert guard.alarm is None


def test_fp16_may_overflow_now_and_then() -> None:
    p = Progress(0.1, [Rule("*")])
    guard = Guard(p, patient=True)
    for p.not_finite in range(1, 11):
        guard.watch(p.not_finite, float("inf"), GuardConfig())
    assert guard.alarm is None
    p.not_finite = 11
    guard.watch(11, float("inf"), GuardConfig())
    assert guard.alarm


def test_what_the_config_says_now_wins_over_a_checkpoint_of_before(tmp_path: Path) -> None:
    """As on a resume: rate, batches, optimizer, and what the best is judged by."""
    worker = toy(tmp_path / "run", (12, c.Rewind(8)), schedule=ScheduleConfig("constant"))
    worker.live(steps=10)
    worker.asked = replace(
        worker.asked,
        optimizer=OptimizerConfig(name="adamw", lr=0.002),
        data=DataConfig(path="pictures", batch_size=9),
        early_stopping=EarlyStoppingConfig(metric="val_top1"),
    )
    worker.live()
    (back,) = of(e.Rewound, worker.journal)
    assert (back.step, back.epoch, back.lr) == (6, 2, 0.002)  # type: ignore[attr-defined]
    state = fold(worker.journal)
    assert [x.step for x in state.evaluations] == [5, 8, 10], "epochs of two steps from then on"
    assert state.total_steps == state.step == 10
    best = worker.session.progress.best
    assert best == max(x.figures["top1"] for x in state.evaluations[1:])
    counters = {int(x["step"]) for x in worker.session.optimizer.state.values()}
    assert counters == {4}, "AdamW began at the rewind"
    assert checkpoint.best(worker.folder).manifest.progress.best == best
