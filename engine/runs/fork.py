"""New runs made of the past of another: forks, which go on otherwise, and replays."""

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from engine import checkpoint, script
from engine.checkpoint import Checkpoint
from engine.contract import plan, planfile, timeline, toml
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.planfile import Plan
from engine.contract.state import RunState
from engine.contract.text import plain
from engine.past import same
from engine.runs import store
from engine.runs.checks import ready
from engine.runs.journal import event_tail
from engine.script import Script


def create_fork(
    parent: Path, step: int, overrides: Iterable[str] = (), runs: Path | None = None
) -> Path:
    """A run that is `parent` up to `step`, and goes on from there with `key=value` changes.

    It begins at the parent's newest checkpoint before that step, or else from the start, and
    repeats the steps in between. Raises `UserError` where the parent never came to that step, or
    the fork could not go on from there.
    """
    state = _state_at(parent, step)
    asked, epoch = _in_force(parent, state), timeline.epoch_at(state)
    config = ready(toml.with_overrides(asked, overrides), resumed=True)
    _refuse_what_cannot_run(config, asked, state, step)
    past = script.of_fork(parent, step, epoch, config)
    begin = next((x for x in checkpoint.until(parent, step) if _before(x, past)), None)
    if not begin and len(past.lines) == 1:  # there is nothing to repeat
        past = replace(past, config=config, lines=[])
    kept = (parent / checkpoint.START).exists()
    if config.regularisation.needs_start and not kept and (begin or step):
        raise UserError(
            f"{plain(parent.name)} did not keep the weights that it began with, so a fork of it "
            "can't have regularisation.l2_sp or wise_ft; start a new run with them."
        )
    return _create(parent, config, past, begin, runs)


def create_replay(parent: Path, runs: Path | None = None) -> Path:
    """A run that repeats all of `parent` up to its newest checkpoint, and is compared with it.

    Raises `UserError` where there is none.
    """
    newest = next(checkpoint.until(parent, _ANY_STEP), None)
    if newest is None:
        raise UserError(f"{plain(parent.name)} has no checkpoint yet to compare a replay with.")
    past = script.of_replay(parent, newest.manifest.progress)
    return _create(parent, newest.manifest.config, past, newest, runs)


_ANY_STEP = 10**12


def config_at(parent: Path, step: int) -> tuple[Config, int]:
    """What was in force in a run right behind `step`, and the epoch under way or about to begin.

    Raises `UserError` where the run never came to that step.
    """
    state = _state_at(parent, step)
    return _in_force(parent, state), timeline.epoch_at(state)


def _state_at(parent: Path, step: int) -> RunState:
    tail, events = event_tail(parent), []
    while chunk := tail.chunk():
        events += chunk
    newest, _ = store.state_of(parent)
    if not 0 <= step <= newest.step:
        raise UserError(
            f"{plain(parent.name)} can be forked at steps from 0 to {newest.step}, not at {step}."
        )
    return timeline.until(events, step)


def _in_force(parent: Path, state: RunState) -> Config:
    config = timeline.config_in_force(state)
    if config is None:
        raise UserError(f"{plain(parent.name)} has not begun to train, so there is no fork of it.")
    return config


OF_THE_PARENT = ("task", "model.name", "model.weights")
"""Settings that a fork can't change."""


def _refuse_what_cannot_run(config: Config, parents: Config, state: RunState, step: int) -> None:
    """`state` is the parent's at `step`, whose config there is `parents`. Raises `UserError`."""
    for key in OF_THE_PARENT:
        if not same(key, config, parents):
            raise UserError(f"{key}: a fork goes on with its parent's model, so it can't change.")
    begun = timeline.epochs_begun(state, step)
    if config.training.epochs < begun:
        raise UserError(
            f"training.epochs: step {step} is in epoch {begun}, so a fork from there can't have "
            f"only {config.training.epochs}."
        )
    if state.model:
        rules = plan.effective(config.trainable, state.model)
        planfile.check(Plan(rules, config.stages), state.model)


def _before(saved: Checkpoint, past: Script) -> bool:
    """Whether a checkpoint is not past where the script ends."""
    return script.key_of(saved.manifest.progress)[:-1] <= past.lines[-1].key[:-1]


def _create(
    parent: Path, config: Config, past: Script, saved: Checkpoint | None, runs: Path | None
) -> Path:
    """`saved` is what a fork begins with, and what a replay is compared with."""
    folder = store.create(config, runs)
    try:
        script.save(folder, past)
        if past.replay and saved:
            shutil.copytree(saved.path, folder / script.COMPARED_WITH)
        elif saved:
            into = folder / checkpoint.FOLDER
            into.mkdir()
            shutil.copytree(saved.path, into / saved.path.name)
            _copy_best(parent, saved, into)
            if (parent / checkpoint.START).exists():
                shutil.copy2(parent / checkpoint.START, folder)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise UserError(
            f"{plain(folder)}: the run can't be created there ({error.strerror})."
        ) from None
    return folder


def _copy_best(parent: Path, saved: Checkpoint, into: Path) -> None:
    """Copy the best checkpoint, too, where it was the best when `saved` was. Raises `OSError`."""
    with suppress(checkpoint.Damaged):
        best = checkpoint.best(parent)
        if script.key_of(best.manifest.progress) <= script.key_of(saved.manifest.progress):
            shutil.copytree(best.path, into / best.path.name, dirs_exist_ok=True)
            (into / checkpoint.BEST).symlink_to(best.path.name)
