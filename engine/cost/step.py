"""One training step on tensors without memory: what it holds and computes."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from engine import freeze
from engine.contract.config import Config
from engine.contract.plan import Assignment
from engine.cost.ledger import Amount, Ledger, Watched, Work
from engine.data.batch import in_parts
from engine.tasks.task import Blank


class Step(NamedTuple):
    """Of a step in the middle of a run; memory in bytes."""

    trainable: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    peak: int
    samples: int
    """That go through the model at once."""
    work: Mapping[Work, Amount]


def trace(
    module: nn.Module,
    blank: Blank,
    plan: Mapping[str, Assignment],
    config: Config,
    around: AbstractContextManager[object],
    mode: Watched,
    pieces: int = 1,
) -> Step:
    """A step of `module`, whose tensors are of `mode`, under a plan, as the loop makes it.

    It must have the plan's adapters; `around` is the forward pass's context. `pieces` are those
    that a batch is cut into where memory is short. Neither the optimizer nor clipping is run: both
    work in place.
    """
    ledger, size = Ledger(), config.data.batch_size
    with mode:
        freeze.apply_plan(module, plan)
        trains = [p for p in module.parameters() if p.requires_grad]
        weights = ledger.hold([*module.parameters(), *module.buffers()])
        ledger.hold(trains, trains=True)
        kept = _kept(module, trains, config)
        optimizer = ledger.hold(kept)
        if pieces * config.training.accumulate > 1:  # there are gradients of another pass already
            for parameter in trains:
                parameter.grad = torch.empty_like(parameter)
        mode.ledger = ledger
        try:
            inputs, targets = blank.batch(size)
            inputs, targets = blank.objective.mix(inputs, targets, seed=0)
            some, wanted = in_parts(inputs, targets, max(1, min(pieces, size // 2)))[0]
            before = weights + optimizer
            with around:
                outputs = blank.objective.outputs(module, some)
                loss = blank.objective.loss(outputs, wanted)
            activations = ledger.now - before
            ledger.backward = True
            del outputs
            loss.backward()  # type: ignore[no-untyped-call]
        finally:
            mode.ledger = None
            for parameter in trains:
                parameter.grad = None
    return Step(
        trainable=sum(p.numel() for p in trains),
        weights=weights,
        gradients=sum(p.numel() * p.itemsize for p in trains),
        optimizer=optimizer,
        activations=activations,
        peak=ledger.peak,
        samples=len(wanted),
        work=ledger.work,
    )


def _kept(module: nn.Module, trains: Sequence[nn.Parameter], config: Config) -> list[Tensor]:
    """What is kept beside the weights from one step to the next."""
    copies = {"sgd": 1 if config.optimizer.momentum > 0 else 0, "adamw": 2}[config.optimizer.name]
    if config.regularisation.ema:
        copies += 1
    return [torch.empty_like(p) for p in trains for _ in range(copies)]
