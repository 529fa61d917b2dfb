"""Auto-RGN: how large the gradient of each part of a model is beside its weights.

Lee et al. 2022, arXiv:2210.11466, section 5. A part whose relative gradient norm is large is one
that the new data wants changed: it gets the larger learning rate.
"""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice

import torch
from torch import Tensor

from engine.adapters import own_parameters
from engine.contract import methods
from engine.contract.depth import parts
from engine.contract.errors import UserError
from engine.contract.events import Event, GradientsMeasured
from engine.data.batch import Inputs, in_parts
from engine.freeze import set_modes
from engine.oom import is_out_of_memory
from engine.session import Session

BATCHES = 32
"""That are read at most: the mean gradient of some hundred pictures tells the parts apart."""


def auto_rgn(session: Session) -> Iterator[Event]:
    """Measure, and make the plan of it: everything trains, at the rates that `methods` derives.

    Raises `UserError`, with nothing changed, where that can't be done or the run is to end.
    """
    norms = measure(session)
    if norms is None:
        raise UserError("The run is being stopped.")
    yield from session.pending.flush()
    yield from _put_into_force(session, norms)


def before_first_step(session: Session) -> Iterator[Event | None]:
    """What `training.auto_rgn` asks for, once in a run; None while the run is to end."""
    p = session.progress
    if not session.config.training.auto_rgn or p.measured or not session.at_start:
        return
    while (norms := measure(session)) is None:
        yield None
    yield from session.pending.flush()
    p.measured = True
    yield from _put_into_force(session, norms)


def measure(session: Session) -> dict[str, float] | None:
    """|mean gradient| / |weight| of each part of the model, over the first batches of the epoch.

    Parts are those of `depth.parts`; one of zeros has no such norm and is left out. All parameters
    take part, in eval mode, on pictures that are augmented but not mixed. Weights, buffers, modes
    and generators are left as they were. None where somebody wanted the run to end meanwhile;
    raises `UserError` where the gradients are not finite, or there is no picture, or no memory.
    """
    trainable = {name: p.requires_grad for name, p in session.module.named_parameters()}
    generators = session.device.rng_state()
    session.module.requires_grad_(True)
    session.module.eval()
    try:
        samples = _add_up(session)
        return _norms(session, samples) if samples is not None else None
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            "There was not enough memory for the gradients of all parameters, which Auto-RGN "
            "compares; set data.batch_size lower."
        ) from error
    finally:
        for name, parameter in session.module.named_parameters():
            parameter.requires_grad_(trainable[name])
            parameter.grad = None
        set_modes(session.module)
        session.device.set_rng_state(generators)
        session.reopen_data()
        session.device.free_cached()


def _add_up(session: Session) -> int | None:
    """Sum the gradients over samples, and return how many those were."""
    samples, data = 0, session.train_data
    for batch in islice(data.epoch(session.progress.epoch), BATCHES):
        if session.stopping:
            return None
        session.pending.add_skipped(batch.skipped)
        count = session.pieces_of(len(batch))
        for inputs, targets in in_parts(batch.inputs, batch.targets, count):
            if len(targets) > 0:
                _backward(session, session.send(inputs), session.device.send(targets))
                samples += len(targets)
    return samples


def _backward(session: Session, inputs: Inputs, targets: Tensor) -> None:
    # fp16 would lose gradients that a scale does not fit
    precision = nullcontext() if session.scaler else session.device.autocast()
    with precision:
        outputs = session.objective.outputs(session.module, inputs)
        loss = session.objective.loss(outputs, targets)
    torch.autograd.backward(loss * len(targets))


def _norms(session: Session, samples: int) -> dict[str, float]:
    if samples == 0:
        raise UserError("data.path: no training sample could be read, so nothing is measured.")
    parameters = dict(own_parameters(session.module))
    norms: dict[str, float] = {}
    for path, names in parts(session.info).items():
        own = [parameters[name] for name in names]
        weight = _norm([p.detach() for p in own])
        if weight > 0:
            norms[path] = _norm([p.grad for p in own if p.grad is not None]) / samples / weight
    if not all(map(math.isfinite, norms.values())):
        raise UserError("The gradients are not finite, so Auto-RGN can't compare them.")
    return norms


def _norm(tensors: list[Tensor]) -> float:
    """Of all of them as one vector."""
    if not tensors:
        return 0.0
    return float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors))))


def _put_into_force(session: Session, norms: dict[str, float]) -> Iterator[Event]:
    session.set_plan(methods.auto_rgn(session.info, norms))
    yield GradientsMeasured(step=session.progress.step, norms=norms)
    yield session.plan_changed("Auto-RGN")
