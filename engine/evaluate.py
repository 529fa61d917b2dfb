"""The validation data run through the model."""

import time
from typing import Literal

import torch
from torch import Tensor

from engine.contract.errors import UserError
from engine.contract.events import Evaluated
from engine.freeze import set_modes
from engine.session import Batch, Session


def evaluate(session: Session, reason: Literal["epoch", "command"]) -> Evaluated | None:
    """Evaluate in eval mode; weights, buffers, modes and generators are left as they were.

    None where somebody wanted the run to end meanwhile. Raises `UserError` where no picture could
    be read.
    """
    began = time.monotonic()
    sums: list[Tensor] = []
    images = 0
    session.module.eval()
    generators = session.device.rng_state()
    try:
        for batch in session.val_data:
            if session.stopping:
                return None
            session.pending.add_skipped(batch.skipped)
            if len(batch.labels) > 0:
                sums.append(_sums(session, batch))
                images += len(batch.labels)
    finally:
        set_modes(session.module)
        session.device.set_rng_state(generators)
    if images == 0:
        raise UserError("data.path: no validation picture could be read, so nothing is measured.")
    figures = session.task.figures(torch.stack(sums).tolist(), images, len(session.classes))
    return Evaluated(
        step=session.progress.step,
        epoch=min(session.progress.epoch, session.config.training.epochs),
        reason=reason,
        loss=figures.loss,
        top1=figures.top1,
        top5=figures.top5,
        images=images,
        seconds=time.monotonic() - began,
    )


@torch.no_grad()
def _sums(session: Session, batch: Batch) -> Tensor:
    device = session.device
    with device.autocast():
        logits = session.module(device.send(batch.images))
    return session.task.sums(logits, device.send(batch.labels))
