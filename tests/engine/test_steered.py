"""Schedules that went wrong once, each found by the state machine."""

from pathlib import Path
from typing import Any

import pytest

from engine.contract import commands as c
from engine.contract.config import DataConfig
from engine.contract.rules import Rule, Stage
from engine.contract.training_tables import (
    CheckpointConfig,
    GuardConfig,
    OptimizerConfig,
    TrainingConfig,
)
from tests.engine.sessions import config
from tests.engine.steered import Steered

pytestmark = pytest.mark.usefixtures("one_thread", "unhindered")

HEAD = [Rule("*", train=False), Rule("head")]


class Schedule(Steered):
    """A run of a CNN, three epochs of three steps, that remembers what it came by."""

    def __init__(self, root: Path, **tables: Any) -> None:
        self.came_by: list[str] = []
        asked = config(
            data=DataConfig(path="pictures", batch_size=4),
            **{
                "training": TrainingConfig(epochs=3, threads=1),
                "optimizer": OptimizerConfig(lr=0.05),
                **tables,
            },
        )
        super().__init__(root, "cnn", asked, self.came_by.append)

    def reach(self, step: int) -> None:
        """To the first boundary behind a step."""
        self.advance()
        while self.expected.step < step:
            self.advance()


def ended(run: Schedule) -> set[str]:
    """What a run has come by at its end, comparisons included."""
    try:
        run.end()
    finally:
        run.close()
    return set(run.came_by)


def test_a_command_that_was_lost_and_taken_back_is_not_in_a_replay(tmp_path: Path) -> None:
    """Step 5 was never taken again before the run went back to its start."""
    run = Schedule(tmp_path)
    run.reach(4)
    run.send(c.Freeze, pattern="head")
    run.advance()
    run.kill()
    run.send(c.Rewind, step=0)
    assert {"obeyed Freeze", "rewound by 3 steps", "compared with a replay"} <= ended(run)


@pytest.mark.parametrize("kind", [c.Checkpoint, c.Stop])
def test_a_checkpoint_whose_worker_died_before_it_could_tell(tmp_path: Path, kind: Any) -> None:
    """A worker that goes on from it tells: a replay goes back there too, not to the one before,
    which lacks the rate."""
    run = Schedule(tmp_path, checkpoints=CheckpointConfig(keep_last=9))
    run.reach(3)
    run.advance()
    run.send(c.SetLearningRate, lr=0.1)
    run.reach(4)
    run.send(kind)
    run.kill_amid(1)  # its steps
    run.reach(5)
    run.send(c.Freeze, pattern="stem")
    run.reach(6)
    run.send(c.Rewind, step=4)
    met = ended(run)
    assert {"killed before CheckpointSaved", "rewound by 2 steps", "compared with a replay"} <= met


@pytest.mark.parametrize("told", [False, True])
def test_back_to_the_start_before_the_first_step(tmp_path: Path, told: bool) -> None:
    """For a replay all of it is at one place: the start is saved, and gone back to."""
    run = Schedule(tmp_path)
    run.kill_amid(3 + told)  # the start comes fourth
    run.send(c.Freeze, pattern="stem")
    run.send(c.Rewind, step=0)
    assert {"rewound by 0 steps", "compared with a replay"} <= ended(run)


def test_what_was_obeyed_behind_the_last_checkpoint_is_not_in_a_replay(tmp_path: Path) -> None:
    """At the very place where it was saved, but later: a worker was killed before the end."""
    run = Schedule(tmp_path, guard=GuardConfig(rollbacks=0))
    run.reach(8)
    run.kill_amid(4)  # steps, evaluation, checkpoint, model
    run.send(c.SetPlan, rules=HEAD)
    met = ended(run)
    assert {"killed before RunFinished", "obeyed SetPlan", "compared with a replay"} <= met


@pytest.mark.parametrize(
    ("key", "value"), [("optimizer.weight_decay", "0.2"), ("training.epochs", "5")]
)
def test_a_setting_behind_the_last_epoch(tmp_path: Path, key: str, value: str) -> None:
    """No epoch is under way there that a setting could be too late for."""
    run = Schedule(tmp_path, guard=GuardConfig(rollbacks=0))
    run.reach(8)
    run.kill_amid(4)
    run.send(c.SetOption, key=key, value=value)
    assert {"killed before RunFinished", "obeyed SetOption"} <= ended(run)


def test_a_lost_command_that_nothing_is_left_of_is_given_up_in_a_replay_too(tmp_path: Path) -> None:
    """Its stage was called off, at an earlier place than where it was obeyed."""
    later = Stage("2 steps", [Rule("*")])
    run = Schedule(tmp_path, trainable=HEAD, stages=[later], guard=GuardConfig(rollbacks=0))
    run.reach(3)
    run.send(c.Freeze, pattern="head")
    run.kill_amid(3)  # steps, plan, answer
    run.send(c.SetStages, stages=[])
    met = ended(run)
    assert {"a lost command given up", "compared with a calm run", "compared with a replay"} <= met


def test_what_was_obeyed_between_the_start_and_the_first_step_is_taken_back_in_a_replay_too(
    tmp_path: Path,
) -> None:
    """While what is frozen is computed: the start is saved by then, and lacks the rate."""
    run = Schedule(tmp_path, trainable=HEAD)
    for _ in range(2):
        run.advance()
    run.send(c.SetLearningRate, lr=0.1)
    run.reach(1)
    run.send(c.Rewind, step=0)
    assert {"rewound by 1 steps", "compared with a replay"} <= ended(run)


@pytest.mark.parametrize(("cache", "after"), [("auto", "2 steps"), ("off", "3 steps")])
def test_a_run_that_is_ended_behind_a_stage_goes_on_behind_it(
    tmp_path: Path, cache: Any, after: str
) -> None:
    """Whatever is asked of the worker that goes on comes after the stage, in a replay, too: while
    the cache is filled anew, and before an evaluation."""
    run = Schedule(
        tmp_path,
        trainable=HEAD,
        stages=[Stage(after, [Rule("body")])],
        training=TrainingConfig(epochs=3, threads=1, cache=cache),
    )
    while not any(met.startswith("a stage begun") for met in run.came_by):
        run.advance()
    run.send(c.Stop)
    run.advance()
    run.send(c.Freeze, pattern="body.0")
    met = ended(run)
    assert {"obeyed Stop", "obeyed Freeze", "resumed", "compared with a replay"} <= met
    assert {"compared with a calm run"} <= met
