"""A small run that every contender is asked for in the same words, and what is seen of it.

The network has a `stem` that is frozen and thawed, a `body` and a `head`; all three have weights,
and the first two a BatchNorm. The data is the same in each epoch, in the same order, and nothing is
random, so that no contender depends on how another restores its generators.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPOCHS, STEPS, BATCH = 4, 4, 4
TOTAL = EPOCHS * STEPS
CLASSES = 3
STEM, HEAD = "stem", "head"
SCALE = 0.1
"""The stem's learning-rate multiplier, wherever it trains."""
MOMENTUM, DECAY = 0.9, 0.1

Optimizer = Literal["sgd", "adamw"]
OPTIMIZERS: tuple[Optimizer, ...] = ("sgd", "adamw")
RATES: dict[Optimizer, float] = {"sgd": 0.1, "adamw": 0.01}

State = dict[str, Tensor]
"""All parameters and buffers, by name."""


@dataclass(frozen=True)
class Way:
    """How a job is written down, where a contender leaves a choice."""

    optimizer: Literal["trainable", "grown", "all"] = "trainable"
    """What is in the optimizer: what trains at the start; that, and what is thawed later as a new
    group; or every parameter from the start."""
    thaw: Literal["==", ">="] = "=="
    """Thaws in one epoch, or in that and again in each that follows."""
    modes: bool = False
    """Whether a frozen module is put into `eval()` as well."""
    schedule: Literal["annealing", "lambda"] = "annealing"
    """How the cosine is computed: from the rate before (`CosineAnnealingLR`), or from the rate at
    the start (`LambdaLR`)."""


@dataclass(frozen=True)
class Job:
    """What is to be done; epochs count from 0, steps by how many are finished."""

    frozen: bool = False
    """Whether the stem is frozen from the start."""
    freeze_at: int | None = None
    """The epoch from whose start on the stem is frozen."""
    thaw_at: int | None = None
    """The epoch from whose start on the stem is trained."""
    cosine: bool = False
    """Whether the rate falls along half a cosine, to zero; otherwise it is constant."""
    halve_at: int | None = None
    """After how many steps the base rate is halved."""
    kill_at: int | None = None
    """After how many steps the run is killed; it then goes on from its last checkpoint."""
    optimizer: Optimizer = "sgd"
    way: Way = Way()

    @property
    def rate(self) -> float:
        """The base rate at the start."""
        return RATES[self.optimizer]

    def freezes(self, epoch: int) -> bool:
        """Whether the stem is to be frozen at the start of `epoch`."""
        return epoch == self.freeze_at

    def thaws(self, epoch: int) -> bool:
        """Whether the stem is to be thawed at the start of `epoch`, in this way of thawing."""
        if self.thaw_at is None:
            return False
        return epoch >= self.thaw_at if self.way.thaw == ">=" else epoch == self.thaw_at

    def expected_rate(self, step: int) -> float:
        """Base times schedule for the step after `step` finished ones; the head's rate."""
        halved = self.halve_at is not None and step >= self.halve_at
        return self.rate * (0.5 if halved else 1.0) * (cosine(step) if self.cosine else 1.0)


def cosine(step: int) -> float:
    """From 1 at the first step to 0 after the last."""
    return (1 + math.cos(math.pi * step / TOTAL)) / 2


class Killed(BaseException):
    """The run ends here, as if its process had died."""


def pretrained() -> nn.Sequential:
    """(B, 3, 8, 8) to (B, 3): the same weights each time, and statistics of some data."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential()
        net.add_module(STEM, _block(3))
        net.add_module("body", _block(8))
        net.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
        net.add_module(HEAD, nn.Linear(8, CLASSES))
        for _ in range(5):
            net(2 * torch.randn(16, 3, 8, 8) + 1)
    return net


def _block(channels: int) -> nn.Sequential:
    norm = nn.BatchNorm2d(8)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    nn.init.uniform_(norm.bias, -0.5, 0.5)
    return nn.Sequential(nn.Conv2d(channels, 8, 3, padding=1, bias=False), norm, nn.ReLU())


def pictures() -> tuple[Tensor, Tensor]:
    """Noise, (16, 3, 8, 8), with random labels: an epoch."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(STEPS * BATCH, 3, 8, 8, generator=generator)
    return images, torch.randint(0, CLASSES, (STEPS * BATCH,), generator=generator)


def param_groups(module: nn.Module, job: Job) -> list[dict[str, Any]]:
    """The rest and the stem, each with its rate; what is frozen only where all are asked for."""
    groups = []
    for scale, inside in ((1.0, False), (SCALE, True)):
        parameters = [
            parameter
            for name, parameter in module.named_parameters()
            if (STEM in name.split(".")) == inside
            and (parameter.requires_grad or job.way.optimizer == "all")
        ]
        if parameters:
            groups.append({"params": parameters, "lr": job.rate * scale})
    return groups


def torch_optimizer(module: nn.Module, job: Job) -> torch.optim.Optimizer:
    """torch's own, as a script builds it."""
    groups = param_groups(module, job)
    if job.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=job.rate, weight_decay=DECAY)
    return torch.optim.SGD(groups, lr=job.rate, momentum=MOMENTUM, weight_decay=DECAY)


def torch_schedule(
    optimizer: torch.optim.Optimizer, job: Job
) -> torch.optim.lr_scheduler.LRScheduler:
    """torch's own, to be stepped after each step."""
    if not job.cosine:
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    if job.way.schedule == "lambda":
        return torch.optim.lr_scheduler.LambdaLR(optimizer, cosine)
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=TOTAL)


def halve_rates(optimizer: torch.optim.Optimizer) -> None:
    """As torch's documentation has it, for each group, so that multipliers stay."""
    for group in optimizer.param_groups:
        group["lr"] *= 0.5


class Seen:
    """Watches a network and its optimizer by torch's own hooks, in one life of a run."""

    def __init__(self, module: nn.Module, kill_at: int | None = None) -> None:
        self.module = module
        self.kill_at = kill_at
        self.states: list[State] = [_copy(module)]
        """Before the first step, and after each; of a resumed life the first is not meaningful."""
        self.rates: list[dict[str, float | None]] = []
        """The rates of the stem and the head in each step; None where the optimizer lacks one."""
        self.held: list[int] = []
        """Bytes of gradients and optimizer state that the stem has after each step."""
        self.norm_off = 0.0
        """Largest difference between what the stem's norm gave out while it was frozen and what its
        statistics say it should."""
        module.get_submodule(f"{STEM}.1").register_forward_hook(self._see_norm)

    def watch(self, optimizer: torch.optim.Optimizer) -> None:
        """Take note of each of its steps, from now on."""
        optimizer.register_step_post_hook(self._see_step)

    def _see_step(self, optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        self.states.append(_copy(self.module))
        self.rates.append({part: self._rate(optimizer, part) for part in (STEM, HEAD)})
        self.held.append(self._held(optimizer))
        if self.kill_at == len(self.rates):
            raise Killed

    def _see_norm(self, norm: nn.BatchNorm2d, inputs: tuple[Tensor], output: Tensor) -> None:
        if norm.weight.requires_grad:
            return
        with torch.no_grad():
            wanted = F.batch_norm(
                inputs[0], norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
            )
            self.norm_off = max(self.norm_off, float((output - wanted).abs().max()))

    def _parameters(self, part: str) -> list[nn.Parameter]:
        return list(self.module.get_submodule(part).parameters())

    def _rate(self, optimizer: torch.optim.Optimizer, part: str) -> float | None:
        first = self._parameters(part)[0]
        for group in optimizer.param_groups:
            if any(parameter is first for parameter in group["params"]):
                return float(group["lr"])
        return None

    def _held(self, optimizer: torch.optim.Optimizer) -> int:
        stem = self._parameters(STEM)
        states = [optimizer.state.get(parameter, {}).values() for parameter in stem]
        tensors = [value for values in states for value in values if isinstance(value, Tensor)]
        tensors += [parameter.grad for parameter in stem if parameter.grad is not None]
        return sum(tensor.nbytes for tensor in tensors)


def _copy(module: nn.Module) -> State:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def difference(one: State, other: State, names: Iterable[str] | None = None) -> float:
    """The largest between two states; 0: bit for bit. Of counters only if all else is equal."""
    assert one.keys() == other.keys()
    off = {
        name: float((one[name] - other[name]).abs().max())
        for name in (one if names is None else names)
        if not torch.equal(one[name], other[name])
    }
    fractions = [value for name, value in off.items() if one[name].is_floating_point()]
    return max(fractions or off.values(), default=0.0)


WEIGHTS = (f"{STEM}.0.weight", f"{STEM}.1.weight", f"{STEM}.1.bias")
STATISTICS = tuple(f"{STEM}.1.{x}" for x in ("running_mean", "running_var", "num_batches_tracked"))

Live = Callable[[Job, Path, bool], Seen]
"""One life of a run in a folder, begun anew or resumed; raises `Killed` where the job says so."""


def run(live: Live, job: Job, folder: Path) -> Seen:
    """The last life of a run."""
    try:
        return live(job, folder, False)
    except Killed:
        return live(job, folder, True)
