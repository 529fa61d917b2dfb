"""The proof: a run that is steered, killed and resumed at random keeps all that is promised of it.

Each step is watched from inside the optimizer, and what should be in force then is worked out once
more by `tests.engine.oracle`. At the end two other runs must come to the same, bit for bit: a calm
one, never killed and never taken back, that is sent only what still counts; and a replay.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from engine import checkpoint, pending, worker
from engine.contract import commands as c
from engine.contract.config import (
    CheckpointConfig,
    Config,
    DataConfig,
    GuardConfig,
    OptimizerConfig,
    RegularisationConfig,
    ScheduleConfig,
    TrainingConfig,
)
from engine.contract.rules import Rule, Stage
from tests.engine.networks import NETWORKS
from tests.engine.sessions import config
from tests.engine.steered import Steered

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for a disk, nothing depends on a clock."""
    monkeypatch.setattr("os.fsync", lambda fd: None)
    monkeypatch.setattr(pending, "SECONDS_BETWEEN_FLUSHES", float("inf"))
    monkeypatch.setattr(worker, "_versions", dict)


EPOCHS = 3
PLANS = {
    "all": [Rule("*")],
    "head": [Rule("*", train=False), Rule("head")],
    "slow biases": [Rule("*", lr_scale=0.5, weight_decay=0.1), Rule("*.bias", lr_scale=0.1)],
    "all but weights": [Rule("*"), Rule("re:.*weight", train=False)],
    "nothing": [Rule("*", train=False)],
}
STAGES = {
    "none": [],
    "now": [Stage("0 steps", [Rule("head", lr_scale=0.5), Rule("*.bias")])],
    "soon": [Stage("2 steps", [Rule("*")]), Stage("1 epoch", [Rule("type:*Norm*", train=False)])],
    "stalled": [Stage("stalled 1", [Rule("*", train=False), Rule("last:1", lr_scale=0.1)])],
    "nothing": [Stage("1 step", [Rule("*", train=False)]), Stage("1 epochs", [Rule("head")])],
    "unknown": [Stage("1 epoch", [Rule("nowhere")])],
}
configs = st.builds(
    config,
    data=st.builds(DataConfig, path=st.just("pictures"), batch_size=st.just(4)),
    trainable=st.sampled_from(["all", "head", "slow biases"]).map(PLANS.__getitem__),
    stages=st.sampled_from(["none", "soon", "stalled"]).map(STAGES.__getitem__),
    optimizer=st.builds(
        OptimizerConfig,
        name=st.sampled_from(["sgd", "adamw"]),
        lr=st.just(0.05),
        weight_decay=st.just(0.01),
        frozen_moments=st.sampled_from(["reset", "keep"]),
    ),
    schedule=st.sampled_from(
        [ScheduleConfig("constant"), ScheduleConfig(warmup_steps=2, end_factor=0.1)]
    ),
    training=st.builds(
        TrainingConfig,
        epochs=st.just(EPOCHS),
        accumulate=st.sampled_from([1, 1, 2]),
        threads=st.just(1),
    ),
    regularisation=st.builds(
        RegularisationConfig, ema=st.sampled_from([0.0, 0.9]), l2_sp=st.sampled_from([0.0, 0.1])
    ),
    guard=st.builds(GuardConfig, rollbacks=st.sampled_from([0, 3])),
    checkpoints=st.builds(
        CheckpointConfig, every_steps=st.sampled_from([0, 1, 2]), keep_last=st.sampled_from([1, 9])
    ),
)
OPTIONS = [
    *(("optimizer.weight_decay", value) for value in ("0", "0.2", "-1")),
    *(("training.epochs", value) for value in ("2", "4", "5")),
    *(("data.augment_strength", value) for value in ("0.5", "0.9")),
]
patterns = st.integers(0, 10)
then = st.integers(0, 1)
"""How often the worker is let run to its next step boundary after a command was sent."""


class Machine(RuleBasedStateMachine):
    """What may happen to a run, in any order."""

    def __init__(self, root: Path, network: str, reached: Counter[str]) -> None:
        super().__init__()
        self.root, self.network, self.reached = Path(tempfile.mkdtemp(dir=root)), network, reached
        self.met: set[str] = set()
        self.run: Steered | None = None

    @initialize(asked=configs)
    def begin(self, asked: Config) -> None:
        self.run = Steered(self.root, self.network, asked, self.met.add)
        save = checkpoint.save
        self.spy = patch.object(checkpoint, "save", lambda *args: self.run.save(save, *args))
        self.spy.start()

    @rule(boundaries=st.integers(1, 3))
    def train(self, boundaries: int) -> None:
        for _ in range(boundaries):
            self.run.advance()

    @rule(pattern=patterns, then=then)
    def freeze(self, pattern: int, then: int) -> None:
        self.send(c.Freeze, then, pattern=self.pattern(pattern))

    @rule(pattern=patterns, scale=st.sampled_from([1.0, 0.1, 0.0]), then=then)
    def thaw(self, pattern: int, scale: float, then: int) -> None:
        self.send(c.Thaw, then, pattern=self.pattern(pattern), lr_scale=scale)

    @rule(name=st.sampled_from(list(PLANS)), then=then)
    def plan(self, name: str, then: int) -> None:
        self.send(c.SetPlan, then, rules=PLANS[name])

    @rule(name=st.sampled_from(list(STAGES)), then=then)
    def stages(self, name: str, then: int) -> None:
        self.send(c.SetStages, then, stages=STAGES[name])

    @rule(lr=st.sampled_from([0.02, 0.1, 0.0]), then=then)
    def rate(self, lr: float, then: int) -> None:
        self.send(c.SetLearningRate, then, lr=lr)

    @rule(option=st.sampled_from(OPTIONS), then=then)
    def option(self, option: tuple[str, str], then: int) -> None:
        self.send(c.SetOption, then, key=option[0], value=option[1])

    @rule(kind=st.sampled_from([c.Pause, c.Resume, c.Checkpoint, c.Evaluate, c.Stop]), then=then)
    def tell(self, kind: type[c.AnyCommand], then: int) -> None:
        self.send(kind, then)

    @rule(back=st.integers(0, 5), then=then)
    def rewind(self, back: int, then: int) -> None:
        self.send(c.Rewind, then, step=max(0, self.run.expected.step - back))

    @rule(back=st.integers(0, 5), events=st.integers(0, 3))
    def rewind_and_kill_amid(self, back: int, events: int) -> None:
        self.rewind(back, 0)
        self.run.kill_amid(events)

    @rule()
    def kill(self) -> None:
        self.run.kill()

    @rule(events=st.integers(0, 9))
    def kill_amid(self, events: int) -> None:
        self.run.kill_amid(events)

    def send(self, kind: Callable[..., c.AnyCommand], then: int, **what: Any) -> None:
        if self.run.finished:
            return
        self.run.send(kind, **what)
        for _ in range(then):
            self.run.advance()

    def pattern(self, number: int) -> str:
        known = NETWORKS[self.network].patterns
        return known[number] if number < len(known) else "nowhere"

    def teardown(self) -> None:
        try:
            if self.run:
                self.run.end()
                self.reached.update(self.met)
                for what in self.met:
                    event(what)
        finally:
            if self.run:
                self.spy.stop()
                self.run.close()
            shutil.rmtree(self.root)


def check(folder: Path, network: str, examples: int) -> None:
    reached = Counter[str]()
    run_state_machine_as_test(
        lambda: Machine(folder, network, reached),
        settings=settings(max_examples=examples, stateful_step_count=12),
    )
    shares = {what: count / examples for what, count in sorted(reached.items())}
    print(network, *(f"{share:7.1%}  {what}" for what, share in shares.items()), sep="\n")


@pytest.mark.parametrize("network", list(NETWORKS))
def test_whatever_happens(tmp_path: Path, network: str) -> None:
    check(tmp_path, network, 70)
