"""What a step under a plan costs: the answer to `AskCost`."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple

import msgspec
import torch
from msgspec.structs import replace

from engine import device, freeze, memory, recompute
from engine.contract.config import Config
from engine.contract.cost import Cost
from engine.contract.inspection import AskCost
from engine.contract.plan import Assignment, effective, resolve
from engine.cost import blank, rates
from engine.cost.ledger import Amount, Watched
from engine.cost.step import trace
from engine.hardware import nvidia
from engine.models.source import LoadedModel, stand_in
from engine.tasks import TASKS
from engine.tasks.task import Blank

_PASSES = {"sgd": 5, "adamw": 7}
"""How often an update reads or writes a tensor of the size of a parameter."""


class _Model(NamedTuple):
    loaded: LoadedModel
    blank: Blank
    mode: Watched


def cost(asked: AskCost) -> Cost:
    """Raises `UserError` where model and settings can't be had or don't fit."""
    config = asked.config
    where, precision = device.find(config.training)
    model = _model(_key(config), asked.classes)
    rules = effective(config.trainable, model.loaded.info)
    plan = resolve(rules, model.loaded.info)
    freeze.check_trains(plan)
    if adapted := tuple((name, says) for name, says in plan.items() if says.lora):
        model = _model(_key(config), asked.classes, adapted)
    around = _forward(config, model.loaded, precision)
    step = trace(model.loaded.module, model.blank, plan, config, around, model.mode, asked.pieces)
    passes = asked.pieces * config.training.accumulate
    forward = {work: amount for work, amount in step.work.items() if not work.backward}
    before = {work: amount for work, amount in forward.items() if work.prefix}
    seconds = saved = None
    if where.type == "cpu":
        known = rates.rates(torch.bfloat16 if precision == "bf16" else torch.float32)
        update = _PASSES[config.optimizer.name] * step.gradients / known["elementwise"]
        seconds = passes * rates.seconds(step.work, known) + update
        saved = passes * rates.seconds(before, known)
    return Cost(
        trainable=step.trainable,
        weights=step.weights,
        gradients=step.gradients,
        optimizer=step.optimizer,
        activations=step.activations,
        peak=step.peak,
        batch=step.samples,
        length=model.blank.length,
        flops=passes * _flops(step.work.values()),
        prefix=_flops(before.values()) / max(1, _flops(forward.values())),
        seconds=seconds,
        prefix_seconds=saved,
        free=_free(where),
        device=str(where),
    )


@contextmanager
def _forward(config: Config, model: LoadedModel, precision: str) -> Iterator[None]:
    asked = config.training.recompute
    blocks = recompute.blocks(model.info, model.module) if asked else {}
    with device.autocast("cpu", precision), recompute.recomputed(blocks):
        yield


@lru_cache(maxsize=2)
def _model(
    config: bytes, classes: int | None, adapted: tuple[tuple[str, Assignment], ...] = ()
) -> _Model:
    """That of a config, and the same with adapters, stay at hand."""
    asked, mode = msgspec.json.decode(config, type=Config), Watched()
    known = classes if classes is not None else stand_in(asked.task)
    loaded = blank.load(asked, known, mode, dict(adapted))
    return _Model(loaded, TASKS[asked.task].blank(asked, loaded, known), mode)


def _key(config: Config) -> bytes:
    """What decides how a model is built and what it is given: the config without plan and pace."""
    training = replace(config.training, epochs=1, accumulate=1, recompute=False)
    data = replace(config.data, batch_size=1)
    weights = replace(config.model, weights="none")
    bare = replace(config, model=weights, trainable=[], stages=[], data=data, training=training)
    return msgspec.json.encode(bare)


def _flops(amounts: Iterable[Amount]) -> int:
    return sum(amount.flops for amount in amounts)


def _free(where: torch.device) -> int | None:
    if where.type != "cuda":
        return memory.free()
    gpus, _ = nvidia.shared().gpus()
    gpu = next((gpu for gpu in gpus if gpu.index == where.index), None)
    if gpu is None or gpu.memory_total is None or gpu.memory_used is None:
        return None
    return gpu.memory_total - gpu.memory_used
