"""The proof: a run that is steered, killed and resumed at random keeps all that is promised of it.

What is checked is in `steered`, `watch` and `twins`; this file says what may happen, and how often.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.config import Config, DataConfig
from engine.contract.rules import Rule, Stage
from engine.contract.training_tables import (
    CheckpointConfig,
    GuardConfig,
    OptimizerConfig,
    RegularisationConfig,
    ScheduleConfig,
    TrainingConfig,
)
from tests.engine.networks import NETWORKS
from tests.engine.sessions import config
from tests.engine.steered import Steered

pytestmark = [
    pytest.mark.usefixtures("one_thread", "unhindered"),
    pytest.mark.parametrize("network", list(NETWORKS)),
    pytest.mark.parametrize("optimizer", ["sgd", "adamw"]),
]

EXAMPLES, THOROUGH = 200, 5000
"""In all, over the networks and optimizers."""
RULES = 15
"""That an example applies."""

FREEZE = Rule("*", train=False)
PLANS = {
    "all": [Rule("*")],
    "head": [FREEZE, Rule("head")],
    "slow biases": [Rule("*", lr_scale=0.5, weight_decay=0.1), Rule("*.bias", lr_scale=0.1)],
    "no weights": [Rule("*"), Rule("re:.*weight", train=False)],
    "nothing": [FREEZE],
}
STAGES = {
    "none": [],
    "now": [Stage("0 steps", [Rule("head", lr_scale=0.5), Rule("*.bias")])],
    "soon": [Stage("2 steps", [Rule("*")]), Stage("1 epoch", [Rule("type:*Norm*", train=False)])],
    "stalled": [Stage("stalled 1", [FREEZE, Rule("last:1", lr_scale=0.1)])],
    "nothing": [Stage("1 step", [FREEZE]), Stage("1 epochs", [Rule("head")])],
    "unknown": [Stage("1 epoch", [Rule("nowhere")])],
}
OPTIONS = {
    "optimizer.weight_decay": ["0", "0.2", "-1"],
    "training.epochs": ["2", "4", "5"],
    "data.augment_strength": ["0.5", "0.9"],
}
RATES = [0.02, 0.1, 0.0]
OTHERS = [c.Pause, c.Resume, c.Checkpoint, c.Evaluate, c.Stop]


def configs(optimizer: str) -> st.SearchStrategy[Config]:
    """Of three epochs of two or three steps."""
    return st.builds(
        config,
        data=st.just(DataConfig(path="pictures", batch_size=4)),
        trainable=st.sampled_from(["all", "head", "slow biases"]).map(PLANS.__getitem__),
        stages=st.sampled_from(["none", "soon", "stalled"]).map(STAGES.__getitem__),
        optimizer=st.builds(
            OptimizerConfig,
            name=st.just(optimizer),
            lr=st.just(0.05),
            weight_decay=st.just(0.01),
            frozen_moments=st.sampled_from(["reset", "keep"]),
        ),
        schedule=st.sampled_from(
            [ScheduleConfig("constant"), ScheduleConfig(warmup_steps=2, end_factor=0.1)]
        ),
        training=st.builds(
            TrainingConfig,
            epochs=st.just(3),
            accumulate=st.sampled_from([1, 1, 2]),
            threads=st.just(1),
            cache=st.sampled_from(["off", "auto"]),
        ),
        regularisation=st.builds(
            RegularisationConfig,
            ema=st.sampled_from([0.0, 0.9]),
            l2_sp=st.sampled_from([0.0, 0.1]),
        ),
        guard=st.builds(GuardConfig, rollbacks=st.sampled_from([0, 3])),
        checkpoints=st.builds(
            CheckpointConfig,
            every_steps=st.sampled_from([0, 2]),
            keep_last=st.sampled_from([1, 9]),
        ),
    )


patterns = st.integers(0, max(len(network.patterns) for network in NETWORKS.values()))
then = st.integers(0, 2)
"""Step boundaries that the worker is let run on to once a command was sent."""


class Machine(RuleBasedStateMachine):
    """What may happen to a run, in any order."""

    def __init__(self, root: Path, network: str, optimizer: str, reached: Counter[str]) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(dir=root))
        self.network, self.optimizer, self.reached = network, optimizer, reached
        self.met: set[str] = set()
        self.run: Steered | None = None

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        asked = data.draw(configs(self.optimizer))
        self.run = Steered(self.root, self.network, asked, self.met.add)

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

    @rule(lr=st.sampled_from(RATES), then=then)
    def rate(self, lr: float, then: int) -> None:
        self.send(c.SetLearningRate, then, lr=lr)

    @rule(option=st.sampled_from([(k, v) for k, some in OPTIONS.items() for v in some]), then=then)
    def option(self, option: tuple[str, str], then: int) -> None:
        self.send(c.SetOption, then, key=option[0], value=option[1])

    @rule(kind=st.sampled_from(OTHERS), then=then)
    def other(self, kind: type[c.AnyCommand], then: int) -> None:
        self.send(kind, then)

    @rule(back=st.integers(0, 3), then=then)
    def rewind(self, back: int, then: int) -> None:
        """To the newest checkpoint but so many."""
        newest_first = [*sorted(self.run.steps_saved, reverse=True), 0]
        self.send(c.Rewind, then, step=newest_first[min(back, len(newest_first) - 1)])

    @rule()
    def kill(self) -> None:
        self.run.kill()

    @rule(events=st.integers(0, 9))
    def kill_amid(self, events: int) -> None:
        self.run.kill_amid(events)

    @rule(back=st.integers(0, 3), events=st.integers(0, 3))
    def kill_amid_rewind(self, back: int, events: int) -> None:
        self.rewind(back, 0)
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
        if self.run is None:
            return
        try:
            if not self.run.failed:
                self.run.end()
                self.reached.update(self.met)
        finally:
            self.run.close()
            shutil.rmtree(self.root)
        for what in self.met:
            event(what)


def check(root: Path, network: str, optimizer: str, examples: int) -> Counter[str]:
    """In how many examples, of so many over all networks and optimizers, each thing came about."""
    reached: Counter[str] = Counter()
    share = -(-examples // (2 * len(NETWORKS)))
    run_state_machine_as_test(
        lambda: Machine(root, network, optimizer, reached),
        settings=settings(max_examples=share, stateful_step_count=RULES),
    )
    return reached


def test_whatever_happens(tmp_path: Path, network: str, optimizer: str) -> None:
    check(tmp_path, network, optimizer, EXAMPLES)


REFUSABLE = [c.Freeze, c.Thaw, c.SetPlan, c.SetStages, c.SetLearningRate, c.SetOption, c.Rewind]
REACHED = {
    *(f"obeyed {kind.__name__}" for kind in [*REFUSABLE, *OTHERS]),
    *(f"refused {kind.__name__}" for kind in REFUSABLE),
    *(
        f"killed before {kind.__name__}"
        for kind in [e.CheckpointSaved, e.CommandApplied, e.Rewound]
    ),
    *(
        f"a stage begun: {when}"
        for when in ["0 steps", "1 step", "2 steps", "1 epoch", "stalled 1"]
    ),
    "killed with a command unanswered",
    "a lost command repeated",
    "a lost command overtaken",
    "a tensor moved that was frozen before",
    "compared with a calm run",
    "compared with a replay",
    "no replay: killed in the middle of a rewind",
}
"""What must come about for the machine to be worth its time."""


@pytest.mark.thorough
@pytest.mark.parametrize("half", [1, 2])  # so that all cores have work to the end
def test_whatever_happens_thoroughly(
    tmp_path: Path, network: str, optimizer: str, half: int
) -> None:
    reached = check(tmp_path, network, optimizer, THOROUGH // 2)
    print(network, optimizer, *sorted(reached.items()))
    assert reached.keys() >= REACHED
