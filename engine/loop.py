"""Training, from top to bottom: a generator of what happens, and of the moments between steps."""

from collections.abc import Generator, Iterator

import torch
from torch import Tensor

from engine import gradients, l2_sp, pieces, predictions, running, snapshot, stages
from engine.contract import events as e
from engine.contract.errors import UserError
from engine.data.batch import Batch, Inputs, in_parts
from engine.data.transforms import mix
from engine.evaluate import evaluate_all, value_of
from engine.finish import finish
from engine.obey import redo
from engine.oom import is_out_of_memory
from engine.prefix import using as prefix
from engine.saving import pause_for_room, save, settle
from engine.session import Session

_NO_MEMORY_TO_UPDATE = (
    "At step {} there was not enough memory for the optimizer's own tensors: freeze more of the "
    "model, or use adapters (lora)."
)
_MIXING = 1
"""Sets the seeds of mixing apart from those of the order and of augmentation."""


def train(session: Session) -> Iterator[e.Event | None]:
    """Yield each event as it happens, and None at each step boundary.

    Only at a None may others touch the session: obey commands, save a checkpoint, or leave the
    generator alone, for a while (a pause) or for good (a stop). What they do may move
    `session.progress`, so nothing of it is remembered here. Ends without RunFinished where the run
    is to go on with another config, `session.handover`.
    """
    p = session.progress
    yield _training_started(session)
    yield session.plan_changed(change="")
    if session.found:
        yield snapshot.told(session, session.found, "found")
    yield from gradients.before_first_step(session)
    yield from redo(session)
    if session.handover:
        return
    yield None
    if session.at_start and session.config.guard.rollbacks and session.last_saved[0] is None:
        yield from save(session, "start")  # else there is nothing to go back to in the first epoch
    kept, finished = True, False
    while not finished:
        if not session.done:
            kept = yield from _advance(session, kept)
        elif not kept:
            yield from pause_for_room(session, "All is trained, but only in memory")
            kept = yield from save(session, "end", best=p.stale == 0)
        else:
            finished = yield from finish(session)
        if session.handover:
            return
    if p.exhausted(session.config.early_stopping):
        yield _early_stopped(session)
    yield e.RunFinished(step=p.step)


def _advance(session: Session, kept: bool) -> Generator[e.Event | None, None, bool]:
    """A stage that begins, a batch for the cache, a step or the end of an epoch, and the boundary
    behind it.

    Returns whether the newest epoch that has ended is saved; `kept` is whether the one before was.
    """
    p = session.progress
    if stages.is_due(p):
        yield from stages.begin_next(session)
    elif p.batch == len(session.train_data):
        kept = yield from _end_epoch(session)
    elif (yield from prefix.ready(session)):
        if p.batch == 0:
            yield e.EpochStarted(epoch=p.epoch, step=p.step)
        yield from _step(session)
    yield from redo(session)
    if not (session.done or session.handover):
        yield None
    return kept


def _step(session: Session) -> Iterator[e.Event]:
    """One optimizer step, or none where no sample could be read, or there was no memory for it."""
    p, every = session.progress, session.config.checkpoints.every_steps
    start = p.batch
    try:
        stepped = take_step(session)
    except Exception as error:
        yield pieces.cut_after(session, error, start)
        return
    yield from running.compiled(session)
    yield from session.pending.flush_if_due()
    save_now = stepped and every and p.step % every == 0 and p.batch < len(session.train_data)
    if (session.guard.alarm or save_now) and not (yield from settle(session)) and save_now:
        yield from save(session, "steps")


def _end_epoch(session: Session) -> Generator[e.Event | None, None, bool]:
    """Evaluate, judge and save; returns whether what was trained is saved."""
    p, early_stopping = session.progress, session.config.early_stopping
    if (yield from settle(session)):
        return True
    while (evaluated := evaluate_all(session, "epoch")) is None:
        yield None
    yield from session.pending.flush()
    yield from evaluated
    best = p.judge(value_of(evaluated, early_stopping.metric), early_stopping)
    if best:
        yield from predictions.keep_best(session, evaluated)
    p.epoch, p.batch = p.epoch + 1, 0
    return (yield from save(session, "epoch", best))


def take_step(session: Session) -> bool:
    """Train on the next `accumulate` batches, fewer at the epoch's end; false if all were empty.

    The loss of a step is the mean over its samples, however they are spread over its batches.
    """
    p, config = session.progress, session.config
    count = min(config.training.accumulate, len(session.train_data) - p.batch)
    planned = config.data.batch_size * count  # samples; how many there really are shows too late
    losses: list[Tensor] = []
    sizes: list[int] = []
    for _ in range(count):
        batch = session.next_batch()
        session.pending.add_skipped(batch.skipped)
        loss = _backward(session, batch, None if count == 1 else planned)
        if loss is not None:
            losses.append(loss)
            sizes.append(len(batch))
    if not losses:
        return False
    samples = sum(sizes)
    lr = session.update_lr()
    try:
        _update_weights(session, grad_scale=1.0 if count == 1 else planned / samples)
    except Exception as error:  # part of the weights may have moved: smaller pieces can't mend it
        if is_out_of_memory(error):
            raise UserError(_NO_MEMORY_TO_UPDATE.format(p.step + 1)) from error
        raise
    p.step += 1
    session.pending.add_step(_mean(losses, sizes), lr, samples)
    return True


def _backward(session: Session, batch: Batch, planned: int | None) -> Tensor | None:
    """Add the gradients of a batch and return its mean loss; None where it can't be trained on.

    Its share of the step's gradient is by its samples among the `planned` ones; None: all of it.
    Where memory is short it goes through the model in pieces.
    """
    size, device = len(batch), session.device
    if size == 0:
        return None
    p, inputs, targets = session.progress, session.send(batch.inputs), device.send(batch.targets)
    seed = mix(session.config.training.seed, p.epoch, p.batch, _MIXING)
    inputs, targets = session.objective.mix(inputs, targets, seed)
    losses: list[Tensor] = []
    sizes: list[int] = []
    for some, wanted in in_parts(inputs, targets, session.pieces_of(size)):
        loss = _forward(session, some, wanted)
        if loss is None:
            return None
        share = len(wanted) / (planned or size)
        scaled = loss if share == 1.0 else loss * share
        if session.scaler:
            scaled = session.scaler.scale(scaled)
        torch.autograd.backward(scaled)
        losses.append(loss.detach())
        sizes.append(len(wanted))
    return _mean(losses, sizes)


def _forward(session: Session, inputs: Inputs, targets: Tensor) -> Tensor | None:
    """Mean loss; None where BatchNorm can't train on the one sample that is left of a batch."""
    try:
        with session.device.autocast():
            outputs = running.outputs(session, inputs)
            return session.objective.loss(outputs, targets)
    except ValueError as error:
        if len(targets) > 1 or "more than 1 value per channel" not in str(error):
            raise
        if session.config.data.batch_size > 1:
            return None  # broken pictures left only one
        raise UserError(
            "data.batch_size: BatchNorm can't train on one picture at a time; "
            "take at least 2, or freeze the norms."
        ) from error


def _mean(losses: list[Tensor], sizes: list[int]) -> Tensor:
    """The mean over samples, of means over `sizes` pictures each."""
    if len(losses) == 1:
        return losses[0]
    total = sum((x * n for x, n in zip(losses, sizes, strict=True)), torch.zeros_like(losses[0]))
    return total / sum(sizes)


def _update_weights(session: Session, grad_scale: float) -> None:
    scaler, clip_norm = session.scaler, session.config.training.clip_norm
    if scaler:
        scaler.unscale_(session.optimizer)
    if grad_scale != 1.0:
        torch._foreach_mul_([p.grad for p in session.trainable if p.grad is not None], grad_scale)
    if session.anchors:
        l2_sp.pull(session.anchors, session.config.regularisation.l2_sp)
    if clip_norm:
        torch.nn.utils.clip_grad_norm_(session.trainable, clip_norm)
    if scaler:
        scaler.step(session.optimizer)
        scaler.update()
    else:
        session.optimizer.step()
    session.drop_gradients()
    if session.average:
        session.average.update()


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
        channels_last=session.device.channels_last,
        options=dict(p.options),
        ahead=p.ahead,
        rewinds=p.rewinds,
        configs=p.configs,
    )


def _early_stopped(session: Session) -> e.EarlyStopped:
    config, best = session.config.early_stopping, session.progress.best
    return e.EarlyStopped(
        step=session.progress.step,
        metric=config.metric,
        best=best,
        patience=config.patience,
    )
