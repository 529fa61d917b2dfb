"""Back to a checkpoint, with the run going on: as a command asks, or as the guard does."""

from collections.abc import Generator, Iterator
from copy import copy
from itertools import islice

from engine import checkpoint, restore, snapshot
from engine.checkpoint import Checkpoint
from engine.contract import events as e
from engine.contract.errors import UserError
from engine.contract.text import plain
from engine.progress import Progress
from engine.session import Session


def to_step(session: Session, step: int, reason: str) -> Iterator[e.Event]:
    """Go back to the newest intact checkpoint at or before `step`.

    Raises `UserError`, with nothing changed, where there is none.
    """
    newest = next(checkpoint.until(session.folder, step), None)
    if newest is None:
        raise UserError(_none_before(session, step))
    yield from _go_back(session, newest, reason)


def if_alarmed(session: Session) -> Generator[e.Event, None, bool]:
    """Roll back and lower the rate where the guard raised an alarm; returns whether it did.

    Raises `UserError` where the config's limit is reached, or there is no good checkpoint, and the
    loss is not finite; a spike is then only told.
    """
    alarm, session.guard.alarm = session.guard.alarm, None
    if alarm is None:
        return False
    config, p = session.config.guard, session.progress
    saved = _good_one(session) if p.rollbacks < config.rollbacks else None
    if saved is None:
        why = (
            f"after {p.rollbacks} rollbacks" if p.rollbacks else "with no good checkpoint to go to"
        )
        message = f"At step {alarm.step} {alarm.what}, {why}"
        if not alarm.finite:
            raise UserError(f"{message}; set optimizer.lr lower.")
        if not session.guard.tolerated:
            yield e.Warned(message=f"{message}: the run goes on as it is.")
        session.guard.tolerated = True
        return False
    yield from _go_back(session, saved, f"{alarm.what} at step {alarm.step}", by_guard=True)
    return True


def _go_back(
    session: Session, saved: Checkpoint, reason: str, by_guard: bool = False
) -> Iterator[e.Event]:
    p = session.progress
    before = copy(p)
    p.go_back_to(saved.manifest.progress)
    p.rewinds += 1
    session.redo.clear()
    for warning in restore.checkpointed(session, saved):
        yield e.Warned(message=warning)
    if by_guard:
        _calm_down(session, before)
    session.reopen_data()
    if checkpoint.give_up_after(saved):
        p.best = None  # what was the best is no longer there
    yield e.Rewound(
        step=p.step,
        epoch=p.epoch,
        stages_begun=p.stages_begun,
        from_step=before.step,
        from_epoch=before.epoch,
        from_stages_begun=before.stages_begun,
        lr=p.base_lr,
        options=dict(p.options),
        reason=reason,
        by_guard=by_guard,
        ahead=p.ahead,
    )
    yield session.plan_changed(change="")
    try:
        yield snapshot.save(session, "rewind")
    except UserError as error:
        yield e.Warned(message=str(error))


def _calm_down(session: Session, before: Progress) -> None:
    """Lower the rate, and keep what was steered while live: nobody took that back.

    Where a stage has begun since the checkpoint it begins again, so the plan is the one of then.
    """
    p = session.progress
    p.rollbacks, p.rolled_back_to = p.rollbacks + 1, p.step
    p.base_lr = min(p.base_lr, before.base_lr) * session.config.guard.lr_factor
    p.steering = before.steering
    session.set_options(before.options)
    if p.stages_begun == before.stages_begun:
        p.stages, clock = before.stages, (before.stage_step, before.stage_epoch)
        if clock != (p.stage_step, p.stage_epoch):
            p.count_stages_from(*clock)
        session.set_plan(before.rules)


def _good_one(session: Session) -> Checkpoint | None:
    """The newest checkpoint without NaN; the one before it where the last rollback, to that one,
    did not help: weights can be spoilt for good and finite still."""
    p = session.progress
    found = checkpoint.until(session.folder, p.step)
    good = list(islice((x for x in found if snapshot.is_finite(x)), 2))
    again = bool(good) and good[0].manifest.progress.step == p.rolled_back_to
    return next(iter(good[1:] if again and len(good) > 1 else good), None)


def _none_before(session: Session, step: int) -> str:
    steps = sorted({x.manifest.progress.step for x in checkpoint.until(session.folder, 10**12)})
    there = (
        f"there are those of step {', '.join(map(str, steps))}" if steps else "there is none yet"
    )
    return f"{plain(session.folder.name)} has no checkpoint at or before step {step}; {there}."
