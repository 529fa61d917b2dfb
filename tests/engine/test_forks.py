"""Runs made of the past of another, in memory: what a fork or a replay takes over."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from engine import checkpoint
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract import toml
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
from engine.runs import fork, store
from engine.runs.journal import Outbox, event_tail
from tests.engine.driven import Driven
from tests.engine.sessions import config, fold, of, same, tiny_net
from tests.engine.watch import differing, stored

pytestmark = pytest.mark.usefixtures("one_thread", "unhindered")


def asked(root: Path, epochs: int = 2, **tables: Any) -> Config:
    """Five steps an epoch, of which only the last checkpoint stays."""
    return config(
        data=DataConfig(path=str(root), batch_size=4),
        training=TrainingConfig(epochs=epochs, threads=1),
        schedule=ScheduleConfig("constant"),
        **{
            "optimizer": OptimizerConfig(lr=0.05),
            "checkpoints": CheckpointConfig(keep_last=1),
            **tables,
        },
    )


def live(
    folder: Path,
    config: Config,
    until: float = float("inf"),
    commands: Sequence[tuple[tuple[int, int], c.AnyCommand]] = (),
) -> None:
    """One life of a run, which is killed at the boundary of a step; commands go by positions."""
    left = list(commands)
    driven = Driven(tiny_net, 18, folder)
    try:
        for _ in driven.life(config):
            if driven.session.progress.step >= until:  # type: ignore[union-attr]
                break
            while left and left[0][0] <= driven.session.progress.position:  # type: ignore[union-attr]
                Outbox(folder).append(left.pop(0)[1])
    finally:
        driven.close()


def made(root: Path, config: Config, **how: Any) -> Path:
    """A run that was begun, and its folder."""
    folder = store.create(config, root / "runs")
    live(folder, config, **how)
    return folder


def repeated(folder: Path) -> list[e.AnyEvent]:
    """All that a fork or a replay tells."""
    driven = Driven(tiny_net, 18, folder)
    driven.run(toml.load(folder / store.CONFIG))
    driven.close()
    return event_tail(folder).read()


def test_a_fork_at_the_start_has_its_own_rate(tmp_path: Path) -> None:
    """The checkpoint of the start is gone."""
    parent = made(tmp_path, asked(tmp_path))
    state = fold(repeated(fork.create_fork(parent, 0, ["optimizer.lr=0.001"], tmp_path)))
    assert state.base_lr == 0.001
    assert set(state.lr.values.tolist()) == {0.001}


def test_a_replay_follows_a_config_that_was_changed_at_the_start(tmp_path: Path) -> None:
    parent = made(tmp_path, asked(tmp_path), until=3)
    other = asked(tmp_path, optimizer=OptimizerConfig(lr=0.001))
    live(parent, other)
    (compared,) = of(e.ReplayCompared, repeated(fork.create_replay(parent, tmp_path)))
    assert compared.different == []  # type: ignore[attr-defined]


def test_a_replay_changes_the_config_before_what_was_lost_is_obeyed_once_more(
    tmp_path: Path,
) -> None:
    """The checkpoint of the resume has the moments that a freeze behind it drops."""
    parent = made(tmp_path, asked(tmp_path), until=6, commands=[((5, 2), c.Freeze("head"))])
    live(parent, asked(tmp_path, trainable=[Rule("*", lr_scale=0.5)]))
    folder = fork.create_replay(parent, tmp_path)
    (compared,) = of(e.ReplayCompared, repeated(folder))
    assert compared.different == []  # type: ignore[attr-defined]
    (theirs, _), (ours, _) = map(checkpoint.newest, (parent, folder))
    assert theirs
    assert ours
    assert differing(stored(theirs), stored(ours)) == []


def rate(lr: float) -> c.SetLearningRate:
    return c.SetLearningRate(lr, id=str(lr), time=1.0)


def lives(folder: Path, *each: tuple[Config, list[c.AnyCommand]]) -> Driven:
    """A life after the other, each with a config and what it is told at its first boundary."""
    for wanted, commands in each:
        driven = Driven(tiny_net, 18, folder)
        life = driven.life(wanted)
        next(life)
        for command in commands:
            Outbox(folder).append(command)
        for _ in life:
            pass
        driven.close()
    return driven


def test_a_replay_takes_what_was_decided_at_one_place_in_its_order(tmp_path: Path) -> None:
    """A rate, another in the config, a rate, another in the config: the last one counts."""
    parent = store.create(asked(tmp_path), tmp_path / "runs")
    changed = [asked(tmp_path, optimizer=OptimizerConfig(lr=lr)) for lr in (0.07, 0.09)]
    first = (asked(tmp_path), [rate(0.02), c.Stop(id="a")])
    last = lives(parent, first, (changed[0], [rate(0.01), c.Stop(id="b")]), (changed[1], []))
    assert last.session.progress.base_lr == 0.09  # type: ignore[union-attr]
    (compared,) = of(e.ReplayCompared, repeated(fork.create_replay(parent, tmp_path)))
    assert compared.different == []  # type: ignore[attr-defined]


def test_a_worker_that_died_before_it_saved_anything_has_changed_no_config(tmp_path: Path) -> None:
    """Not that of the start, and none behind a checkpoint."""
    parent = store.create(asked(tmp_path), tmp_path / "runs")
    one, other = (asked(tmp_path, optimizer=OptimizerConfig(lr=lr)) for lr in (0.02, 0.03))
    for wanted, until in ((asked(tmp_path), 2), (one, 7), (other, 7), (one, 7), (other, 99)):
        live(parent, wanted, until)
    (compared,) = of(e.ReplayCompared, repeated(fork.create_replay(parent, tmp_path)))
    assert compared.different == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("rollbacks", [0, 3])
def test_a_fork_at_a_place_where_its_parent_was_steered_has_its_own_rate(
    tmp_path: Path, rollbacks: int
) -> None:
    """With a checkpoint of the start, and without."""
    kept = {"guard": GuardConfig(rollbacks), "checkpoints": CheckpointConfig(keep_last=9)}
    parent = made(tmp_path, asked(tmp_path, **kept), commands=[((0, 1), rate(0.02))])
    state = fold(repeated(fork.create_fork(parent, 0, ["optimizer.lr=0.1"], tmp_path)))
    assert set(state.lr.values.tolist()) == {0.1}


FIRST_IS_BEST = EarlyStoppingConfig(min_delta=1e5)


def test_a_fork_keeps_the_best_of_before(tmp_path: Path) -> None:
    parent = made(tmp_path, asked(tmp_path, epochs=4, early_stopping=FIRST_IS_BEST))
    folder = fork.create_fork(parent, 17, (), tmp_path)
    (saved,) = of(e.ModelSaved, repeated(folder))
    assert saved.weights == "best, epoch 1"  # type: ignore[attr-defined]
    assert same(*(load_file(x / "model.safetensors") for x in (parent, folder)))


def test_a_best_that_came_later_is_not_the_forks(tmp_path: Path) -> None:
    judged = EarlyStoppingConfig(restore_best=True)
    kept = CheckpointConfig(keep_last=9)
    parent = made(tmp_path, asked(tmp_path, 4, early_stopping=judged, checkpoints=kept))
    best = checkpoint.best(parent).manifest.progress.step
    folder = fork.create_fork(parent, best - 1, (), tmp_path)
    events = repeated(folder)
    assert fold(events).phase == "finished"
    assert of(e.Warned, events) == []
    assert checkpoint.best(folder).manifest.progress.step >= best


def test_a_fork_at_the_end_of_an_early_stopped_run_goes_on(tmp_path: Path) -> None:
    judged = EarlyStoppingConfig(min_delta=1e5, patience=2)
    parent = made(tmp_path, asked(tmp_path, epochs=10, early_stopping=judged))
    folder = fork.create_fork(parent, 15, ["optimizer.lr=0.001"], tmp_path)
    state = fold(repeated(folder))
    assert state.early_stopped
    assert state.step == 25, "patient anew"


@pytest.mark.parametrize("other", [{}, {"epochs": 9}])
def test_what_goes_on_after_early_stopping_is_forked_and_replayed(
    tmp_path: Path, other: dict[str, int]
) -> None:
    """The patience was changed while live; the resume says nothing of it, or changes another."""
    judged = EarlyStoppingConfig(min_delta=1e5)
    patience = c.SetOption("early_stopping.patience", "2")
    config = asked(tmp_path, epochs=8, early_stopping=judged)
    parent = made(tmp_path, config, commands=[((2, 1), patience)])
    assert fold(event_tail(parent).read()).step == 15
    live(parent, asked(tmp_path, **{"epochs": 8, "early_stopping": judged, **other}))
    assert fold(event_tail(parent).read()).step == 25

    events = repeated(fork.create_replay(parent, tmp_path))
    (compared,) = of(e.ReplayCompared, events)
    assert compared.step == 25  # type: ignore[attr-defined]
    assert compared.different == []  # type: ignore[attr-defined]
    folder = fork.create_fork(parent, 18, ["early_stopping.patience=0"], tmp_path)
    assert fold(repeated(folder)).step == 5 * other.get("epochs", 8)


@pytest.mark.parametrize("step", [0, 7])
@pytest.mark.parametrize("override", ["l2_sp=0.1", "wise_ft=true"])
def test_a_fork_has_no_start_to_go_back_to_that_was_not_kept(
    tmp_path: Path, step: int, override: str
) -> None:
    kept = CheckpointConfig(keep_last=9)
    parent = made(tmp_path, asked(tmp_path, checkpoints=kept))
    with pytest.raises(UserError, match="did not keep the weights that it began with"):
        fork.create_fork(parent, step, [f"regularisation.{override}"], tmp_path)
