"""The validation data run through the model."""

import math
import time
from collections.abc import Iterable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from engine import pieces
from engine.contract.errors import UserError
from engine.contract.events import Evaluated, Event, TextGenerated
from engine.data.batch import Batch, in_parts
from engine.freeze import set_modes
from engine.lending import lent
from engine.oom import is_out_of_memory
from engine.session import Session
from engine.tasks.task import Figures, Generative

Reason = Literal["epoch", "command"]
Weights = Literal["raw", "ema"]


def evaluate_all(session: Session, reason: Reason) -> list[Event] | None:
    """Evaluate the weights, and where there is one their moving average; as `evaluate`.

    A language model also generates a text.
    """
    raw = evaluate(session, reason)
    if raw is None:
        return None
    told: list[Event] = [raw, *_text(session)]
    if session.average is None:
        return told
    with lent(session.module, session.average.by_name(session.module)):
        averaged = evaluate(session, reason, "ema")
    return None if averaged is None else [*told, averaged]


def value_of(told: Iterable[Event], metric: str) -> float | None:
    """What `metric` is in an evaluation; None where it is not finite."""
    weights, _, figure = metric.partition("_")
    evaluated = (x for x in told if isinstance(x, Evaluated))
    (judged,) = (x for x in evaluated if x.weights == ("ema" if weights == "ema" else "raw"))
    return judged.value(figure)


def evaluate(session: Session, reason: Reason, weights: Weights = "raw") -> Evaluated | None:
    """Evaluate in eval mode; weights, buffers, modes and generators are left as they were.

    `weights` says which ones the module has just now. None where somebody wanted the run to end
    meanwhile. Raises `UserError` where no picture could be read.
    """
    began = time.monotonic()
    session.module.eval()
    try:
        found = figures(session, session.module)
    finally:
        set_modes(session.module)
    if found is None:
        return None
    return Evaluated(
        step=session.progress.step,
        epoch=min(session.progress.epoch, session.config.training.epochs),
        reason=reason,
        loss=found.loss,
        figures=found.figures,
        samples=found.samples,
        seconds=time.monotonic() - began,
        weights=weights,
        by_class=found.by_class,
    )


def figures(session: Session, module: nn.Module) -> Figures | None:
    """What a module in eval mode comes to on the validation data; generators are left as they were.

    None and `UserError` as of `evaluate`.
    """
    sums: list[Tensor] = []
    samples = 0
    generators = session.device.rng_state()
    try:
        for batch in session.val_data:
            if session.stopping:
                return None
            session.pending.add_skipped(batch.skipped)
            if len(batch) > 0:
                sums.append(_sums(session, module, batch))
                samples += len(batch)
    finally:
        session.device.set_rng_state(generators)
    if samples == 0:
        raise UserError("data.path: no validation sample could be read, so nothing is measured.")
    return session.objective.figures(_added_up(sums), samples)


def _added_up(sums: list[Tensor]) -> list[float] | Tensor:
    """The sums of all batches; of rows, a sample each, all of them."""
    if sums[0].ndim == 2:
        return torch.cat(sums)
    columns = zip(*torch.stack(sums).tolist(), strict=True)
    return [math.fsum(column) for column in columns]


def _text(session: Session) -> Iterator[TextGenerated]:
    """What a language model has to say; weights, modes and generators are left as they were."""
    objective, p = session.objective, session.progress
    if not isinstance(objective, Generative):
        return
    generators = session.device.rng_state()
    session.module.eval()
    try:
        with torch.no_grad(), session.device.autocast():
            said = objective.generate(session.module, session.device, p.step)
    finally:
        set_modes(session.module)
        session.device.set_rng_state(generators)
    if said:
        epoch = min(p.epoch, session.config.training.epochs)
        yield TextGenerated(step=p.step, epoch=epoch, prompt=said.prompt, text=said.text)


def _sums(session: Session, module: nn.Module, batch: Batch) -> Tensor:
    while True:
        try:
            return _sums_in_pieces(session, module, batch)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            session.pending.add(pieces.cut(session, error))


@torch.no_grad()
def _sums_in_pieces(session: Session, module: nn.Module, batch: Batch) -> Tensor:
    device, objective = session.device, session.objective
    sums: list[Tensor] = []
    for inputs, targets in in_parts(batch.inputs, batch.targets, session.pieces_of(len(batch))):
        with device.autocast():
            outputs = objective.outputs(module, device.send_all(inputs))
        sums.append(objective.sums(outputs, device.send(targets)))
    if len(sums) == 1:
        return sums[0]
    return torch.cat(sums) if sums[0].ndim == 2 else torch.stack(sums).sum(0)
