"""What a step under the plan costs, and how that is said in a few lines."""

from dataclasses import dataclass
from typing import NamedTuple

from msgspec.structs import replace

from engine.contract.config import Config
from engine.contract.cost import Cost
from engine.contract.rules import Rule
from ftui.format import percent, size
from ftui.workspace import Workspace

_ENOUGH_STEPS = 3
"""After which a step's time counts as measured."""
_KEPT = 1.7
"""How much more than its tensors a process on a CPU may take: its allocator keeps what is freed."""
_NO_DATA = "none"
_MINUS = "\N{MINUS SIGN}"


class Question(NamedTuple):
    """What decides the costs."""

    config: Config
    """With the plan as it will be, whatever stages follow."""
    rules: list[Rule]
    classes: int | None
    pieces: int

    def differs_by_plan(self, other: "Question | None") -> bool:
        """And by nothing else."""
        if other is None or self.rules == other.rules:
            return False
        return self == other._replace(
            config=replace(other.config, trainable=self.rules), rules=self.rules
        )


def question(workspace: Workspace) -> Question | None:
    """None where there is no model, or code of the user's own would run that may not."""
    if workspace.model is None or workspace.code_to_allow is not None:
        return None
    config, state, rules = workspace.config, workspace.state, workspace.wanted_rules
    config = replace(config, data=replace(config.data, path=_NO_DATA))  # it may not be chosen yet
    if state and state.precision:  # which may have been measured
        training = replace(config.training, precision=state.precision)
        config = replace(config, training=training)
    if longest := workspace.longest:  # what is shorter is padded to no more
        config = replace(config, text=replace(config.text, max_length=max(4, longest)))
    pieces = state.pieces if state else 1
    asked = replace(config, trainable=rules, stages=[])
    return Question(asked, rules, workspace.classes, pieces)


@dataclass
class Measured:
    """What the open run has measured so far; None where it has not."""

    memory: int | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, workspace: Workspace) -> "Measured":
        state = workspace.state
        if state is None or state.step < _ENOUGH_STEPS or not state.samples_per_second:
            return cls()
        config = workspace.config
        samples = config.data.batch_size * config.training.accumulate
        return cls(state.memory, samples / state.samples_per_second)


def lines(cost: Cost, before: Cost | None, measured: Measured, config: Config) -> list[str]:
    """Memory, its parts, and time; `before` is what it cost under the plan before."""
    change = f" ({_signed(cost.peak - before.peak)})" if before and before.peak != cost.peak else ""
    at = f" at {cost.length:,} tokens" if cost.length else ""
    held = f", measured {size(measured.memory)}" if measured.memory else ""
    return [
        f"memory {size(cost.peak)}{change}{at}{held}{_fits(cost, measured)}",
        f"weights {size(cost.weights)}, gradients {size(cost.gradients)}, optimizer "
        f"{size(cost.optimizer)}, activations {size(cost.activations)}",
        f"{_step(cost, before, measured, config)}{_cache(cost, config)}",
    ]


def tight(cost: Cost, measured: Measured) -> bool:
    """Whether memory may not be enough."""
    return "fits in" not in _fits(cost, measured) and cost.free is not None


def _fits(cost: Cost, measured: Measured) -> str:
    if cost.free is None:
        return ""
    there = cost.free + (measured.memory or 0)
    most = cost.peak * (_KEPT if cost.device == "cpu" else 1)
    word = "fits in" if most <= there else "tight in"
    return f"; {'does not fit in' if cost.peak > there else word} {size(there)} of {cost.device}"


def _step(cost: Cost, before: Cost | None, measured: Measured, config: Config) -> str:
    samples = f"of {config.data.batch_size}"
    if cost.length:
        samples += f" × {cost.length}"
    words = f"step {samples}: {cost.flops / 1e9:,.0f} GFLOP"
    if cost.seconds is not None:
        words += f", about {_time(cost.seconds)}"
        if before and before.seconds is not None and before.seconds != cost.seconds:
            more = cost.seconds - before.seconds
            words += f" ({_MINUS if more < 0 else '+'}{_time(abs(more))})"
    return words + (f", measured {_time(measured.seconds)}" if measured.seconds else "")


def _cache(cost: Cost, config: Config) -> str:
    """What remembering the frozen beginning saves; empty where there is next to none."""
    if cost.prefix < 0.05:
        return ""
    saved = f"{percent(cost.prefix)} of a forward pass"
    if cost.prefix_seconds is not None:
        saved = _time(cost.prefix_seconds)
    asked, cache = config.regularisation, config.training.cache
    exact = config.data.augment == "none" and not (asked.mixup or asked.cutmix)
    if cache != "off" and (exact or cache != "auto"):
        return f"; cache saves {saved}"
    return f"; cache would save {saved}" + ("" if exact else " unaugmented")


def _signed(amount: int) -> str:
    return f"{_MINUS if amount < 0 else '+'}{size(abs(amount))}"


def _time(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
