"""The validation data run through the model."""

import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Literal

import torch
from torch import nn

from engine import pieces, predictions
from engine.contract.errors import UserError
from engine.contract.events import Evaluated, Event, TextGenerated
from engine.data.batch import Batch, in_parts
from engine.freeze import set_modes
from engine.lending import lent
from engine.oom import is_out_of_memory
from engine.prefix import using as prefix
from engine.session import Session
from engine.tally import Tally
from engine.tasks.measured import Measured, joined
from engine.tasks.task import Figures, Generative

Reason = Literal["epoch", "command"]
Weights = Literal["raw", "ema"]


def evaluate_all(session: Session, reason: Reason) -> list[Event] | None:
    """Evaluate the weights, and where there is one their moving average; as `evaluate`.

    A language model also generates a text.
    """
    tally = Tally()
    raw = evaluate(session, reason, tally=tally)
    if raw is None:
        return None
    told: list[Event] = [raw, *predictions.keep(session, raw, tally), *_text(session)]
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


def evaluate(
    session: Session, reason: Reason, weights: Weights = "raw", tally: Tally | None = None
) -> Evaluated | None:
    """Evaluate in eval mode; weights, buffers, modes and generators are left as they were.

    `weights` says which ones the module has just now; `tally` takes in what each sample came to.
    None where somebody wanted the run to end meanwhile. Raises `UserError` where no picture could
    be read.
    """
    began = time.monotonic()
    session.module.eval()
    try:
        found = figures(session, session.module, tally, own=weights == "raw")
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


def figures(
    session: Session, module: nn.Module, tally: Tally | None = None, own: bool = True
) -> Figures | None:
    """What a module in eval mode comes to on the validation data; generators are left as they were.

    `own` says whether its weights are, or are lent. `tally`, None and `UserError` as of `evaluate`.
    """
    tally = Tally() if tally is None else tally
    generators = session.device.rng_state()
    try:
        for batch in prefix.validation(session, module, own):
            if session.stopping:
                return None
            session.pending.add_skipped(batch.skipped)
            if len(batch) > 0:
                tally.add(_measured(session, module, batch), batch.numbers)
    finally:
        session.device.set_rng_state(generators)
    if not tally:
        raise UserError("data.path: no validation sample could be read, so nothing is measured.")
    tally.read()
    return session.objective.figures(tally.sums, tally.rows)


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


def _measured(session: Session, module: nn.Module, batch: Batch) -> Measured:
    while True:
        try:
            return _measured_in_pieces(session, module, batch)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            session.pending.add(pieces.cut(session, error))


@torch.no_grad()
def _measured_in_pieces(session: Session, module: nn.Module, batch: Batch) -> Measured:
    device, objective = session.device, session.objective
    parts: list[Measured] = []
    for inputs, targets in in_parts(batch.inputs, batch.targets, session.pieces_of(len(batch))):
        with device.autocast():
            run = partial(objective.outputs, module)
            outputs = session.val_prefix.outputs(run, session.send(inputs))
        parts.append(objective.measure(outputs, device.send(targets)))
    return joined(parts)
