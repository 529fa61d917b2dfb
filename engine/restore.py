"""Where a session begins: at the start, or exactly where a checkpoint and the journal left it."""

from collections import deque

import msgspec
import torch

from engine import checkpoint, origin, snapshot, stages
from engine.checkpoint import Checkpoint, Manifest
from engine.contract import plan
from engine.contract.config import Config
from engine.contract.tree import ModelInfo
from engine.past import Past, same
from engine.progress import Progress
from engine.script import Line, Script
from engine.session import Session


def progress(config: Config, info: ModelInfo, saved: Checkpoint | None) -> Progress:
    """How far the run is: as saved, or nowhere yet."""
    if saved:
        return saved.manifest.progress
    rules = plan.effective(config.trainable, info)
    return Progress(config.optimizer.lr, rules, stages=list(config.stages))


def begin(
    session: Session,
    past: Past,
    saved: Checkpoint | None,
    script: Script | None = None,
    taken: Line | None = None,
) -> list[str]:
    """Seed, restore, put the plan into force, and note which commands are to be repeated.

    `taken` is the line of the script that the session begins at, with that line's config. What was
    changed in the config since the checkpoint wins over the checkpoint. Returns warnings, in
    sentences. Raises `UserError` where checkpoint, model and plan don't go together.
    """
    p = session.progress
    if saved and (taken or saved.manifest.config != session.asked):
        p.configs += 1
    session.redo = deque(past.to_redo(p))
    session.found = saved if saved and saved.told_as not in past.checkpoints else None
    session.script = deque(script.still_to_come(p) if script else [])
    torch.manual_seed(session.config.training.seed)
    if session.config.regularisation.needs_start:
        folder, head = session.folder, session.info.head
        session.origin = origin.read(folder) if saved else origin.keep(folder, session.module, head)
    if saved is None:
        stages.check(p.rules, p.stages, session.info)
        session.set_plan(p.rules)
        return [*session.left_out(), *stages.never_begin(session)]
    forks = bool(taken and taken.fork)
    if forks:
        _begin_as_asked(session)
    if script and not script.replay and not checkpoint.has_best(session.folder):
        p.best = None  # it came after the fork, or its parent has given it up
    warnings = checkpointed(session, saved)
    if saved.manifest.config == session.asked:
        session.frozen_as = []
        session.last_saved = saved, msgspec.json.encode(p)  # nothing is new until something is
    asked = session.config.early_stopping
    ended_here = forks or past.finished_at == p.step
    if ended_here and p.be_patient_anew(asked) and not session.done:
        warnings.append(
            f"Early stopping had ended the run after epoch {p.epoch - 1}; it goes on to epoch "
            f"{session.config.training.epochs}, or until {asked.metric} is no better for another "
            f"{_epochs(asked.patience)} (early_stopping.patience; 0 never stops)."
        )
    return warnings + stages.never_begin(session)


def checkpointed(session: Session, saved: Checkpoint) -> list[str]:
    """Put a checkpoint's tensors back, and settings and plan of the session's progress into force.

    What was changed in the config since the checkpoint wins over the progress. Returns warnings,
    in sentences. Raises `UserError` where they don't go together.
    """
    followed = _follow_config(session, saved.manifest)
    session.set_options(session.progress.options)
    warnings = snapshot.read(session, saved)
    session.set_plan(session.progress.rules)
    return warnings + followed


def _begin_as_asked(session: Session) -> None:
    """A fork's config says all: what was changed while live is part of it, or was changed again."""
    p, config = session.progress, session.asked
    p.base_lr, p.options = config.optimizer.lr, {}
    p.rules = plan.effective(config.trainable, session.info)
    p.stages, p.stages_begun = list(config.stages), 0


def _follow_config(session: Session, saved: Manifest) -> list[str]:
    p, config, then = session.progress, session.asked, saved.config
    p.options = {key: value for key, value in p.options.items() if same(key, config, then)}
    if config.stages != then.stages:
        p.stages = config.stages[p.stages_begun :]
        stages.check(p.rules, p.stages, session.info)
    if config.optimizer.lr != then.optimizer.lr:
        p.base_lr = config.optimizer.lr
    if config.trainable != then.trainable:
        p.rules = plan.effective(config.trainable, session.info)
    if config.early_stopping.metric != then.early_stopping.metric:
        p.best, p.stale = None, 0  # the two can't be compared
    if session.samples != saved.samples:
        return _follow_data(session, "The training pictures are not those of before")
    if _order(config) != _order(then):
        return _follow_data(session, "The data is read otherwise than before")
    return []


def _follow_data(session: Session, why: str) -> list[str]:
    """Go on from the start of an epoch, of maybe another number of steps; the schedule with it."""
    p = session.progress
    ahead = (p.epoch - 1) * session.steps_per_epoch - p.step
    effects = [f"epoch {p.epoch} begins anew"] if p.batch else []
    if ahead != p.ahead and session.config.schedule.name != "constant":
        effects.append(f"the learning rate goes on as planned for the start of epoch {p.epoch}")
    p.batch, p.ahead = 0, ahead
    return [f"{why}, so {' and '.join(effects)}."] if effects else []


def _epochs(count: int) -> str:
    return "epoch" if count == 1 else f"{count} epochs"


def _order(config: Config) -> tuple[object, ...]:
    """All that the order and the grouping of training pictures depend on."""
    data_read = msgspec.structs.replace(config.data, workers=0, decoded="auto")
    training, sampling = config.training, config.regularisation.sampling
    return data_read, training.accumulate, training.seed, sampling
