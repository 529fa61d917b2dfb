"""Training, from top to bottom: a generator of what happens, and of the moments between steps."""

from collections.abc import Generator, Iterator

import torch
from torch import Tensor

from engine import snapshot
from engine.contract import events as e
from engine.contract.errors import UserError
from engine.data.transforms import mix
from engine.evaluate import evaluate
from engine.obey import redo
from engine.session import Batch, Session

_MIXING = 1
"""Sets the seeds of mixing apart from those of the order and of augmentation."""


def train(session: Session) -> Iterator[e.Event | None]:
    """Yield each event as it happens, and None at each step boundary.

    Only at a None may others touch the session: obey commands, save a checkpoint, or leave the
    generator alone, for a while (a pause) or for good (a stop).
    """
    p, data = session.progress, session.train_data
    early_stopping, every = session.config.early_stopping, session.config.checkpoints.every_steps
    yield _training_started(session)
    yield session.plan_changed(change="")
    yield from redo(session)
    yield None
    kept = True
    while not session.done:
        if p.batch == 0:
            yield e.EpochStarted(epoch=p.epoch, step=p.step)
        batches = data.epoch(p.epoch, skip_batches=p.batch)
        while p.batch < len(data):
            stepped = take_step(session, batches)
            yield from redo(session)
            yield from session.pending.flush_if_due()
            if stepped and every and p.step % every == 0 and p.batch < len(data):
                yield from save(session, "steps")
            yield None

        yield from session.pending.flush()
        while (evaluated := evaluate(session, "epoch")) is None:
            yield None
        yield from session.pending.flush()
        yield evaluated
        metric = evaluated.loss if early_stopping.metric == "val_loss" else evaluated.top1
        best = p.judge(metric, early_stopping)
        p.epoch, p.batch = p.epoch + 1, 0
        kept = yield from save(session, "epoch", best)
        if not session.done:
            yield None
    while not kept:
        yield from _pause_for_room(session)
        kept = yield from save(session, "end")
    if p.exhausted(early_stopping):
        yield _early_stopped(session)
    yield e.RunFinished(step=p.step)


def take_step(session: Session, batches: Iterator[Batch]) -> bool:
    """Train on the next `accumulate` batches, fewer at the epoch's end; false if all were empty.

    The loss of a step is the mean over its pictures, however they are spread over its batches.
    """
    p, config = session.progress, session.config
    count = min(config.training.accumulate, len(session.train_data) - p.batch)
    planned = config.data.batch_size * count  # pictures; how many there really are shows too late
    losses: list[Tensor] = []
    sizes: list[int] = []
    for _ in range(count):
        batch = next(batches)
        p.batch += 1
        session.pending.add_skipped(batch.skipped)
        loss = _backward(session, batch, None if count == 1 else planned)
        if loss is not None:
            losses.append(loss)
            sizes.append(len(batch.labels))
    if not losses:
        return False
    images = sum(sizes)
    if count > 1:
        loss = sum((x * n for x, n in zip(losses, sizes, strict=True)), torch.zeros_like(losses[0]))
        losses = [loss / images]
    lr = session.update_lr()
    _update_weights(session, grad_scale=1.0 if count == 1 else planned / images)
    p.step += 1
    session.pending.add_step(losses[0], lr, images)
    return True


def _backward(session: Session, batch: Batch, planned: int | None) -> Tensor | None:
    """Add the gradients of a batch and return its mean loss; None where it can't be trained on.

    Its share of the step's gradient is by its pictures among the `planned` ones; None: all of it.
    """
    size, device = len(batch.labels), session.device
    if size == 0:
        return None
    p, images, labels = session.progress, device.send(batch.images), device.send(batch.labels)
    seed = mix(session.config.training.seed, p.epoch, p.batch, _MIXING)
    images, targets = session.task.mix(images, labels, seed)
    try:
        with device.autocast():
            loss = session.task.loss(session.module(images), targets)
    except ValueError as error:
        if size > 1 or "more than 1 value per channel" not in str(error):
            raise
        if session.config.data.batch_size > 1:
            return None  # broken pictures left only one
        raise UserError(
            "data.batch_size: BatchNorm can't train on one picture at a time; "
            "take at least 2, or freeze the norms."
        ) from error
    scaled = loss if planned is None else loss * (size / planned)
    if session.scaler:
        scaled = session.scaler.scale(scaled)
    torch.autograd.backward(scaled)
    return loss.detach()


def _update_weights(session: Session, grad_scale: float) -> None:
    scaler, clip_norm = session.scaler, session.config.training.clip_norm
    if scaler:
        scaler.unscale_(session.optimizer)
    if grad_scale != 1.0:
        torch._foreach_mul_([p.grad for p in session.trainable if p.grad is not None], grad_scale)
    if clip_norm:
        torch.nn.utils.clip_grad_norm_(session.trainable, clip_norm)
    if scaler:
        scaler.step(session.optimizer)
        scaler.update()
    else:
        session.optimizer.step()
    for parameter in session.trainable:
        parameter.grad = None


def save(
    session: Session, reason: snapshot.Reason, best: bool = False
) -> Generator[e.Event, None, bool]:
    """A checkpoint that the loop wants; a disk that refuses does not end the run.

    Returns whether it was saved.
    """
    yield from session.pending.flush()
    try:
        yield snapshot.save(session, reason, best)
    except UserError as error:
        yield e.Warned(message=str(error))
        return False
    return True


def _pause_for_room(session: Session) -> Iterator[e.Event | None]:
    """Let somebody make room: the weights that all was for are nowhere but in memory."""
    yield e.Warned(
        message="All is trained, but only in memory: make room, then resume the run to save it."
    )
    session.paused = True
    yield e.RunPaused(step=session.progress.step)
    yield None


def _training_started(session: Session) -> e.TrainingStarted:
    p = session.progress
    return e.TrainingStarted(
        step=p.step,
        epoch=min(p.epoch, session.config.training.epochs),
        epochs=session.config.training.epochs,
        steps_per_epoch=session.steps_per_epoch,
        lr=p.base_lr,
        device=str(session.device.torch_device),
        device_name=session.device.name,
        precision=session.device.precision,
        threads=torch.get_num_threads(),
        ahead=p.ahead,
    )


def _early_stopped(session: Session) -> e.EarlyStopped:
    config, best = session.config.early_stopping, session.progress.best
    return e.EarlyStopped(
        step=session.progress.step,
        metric=config.metric,
        best=best,
        patience=config.patience,
    )
