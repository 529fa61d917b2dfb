"""Words from the world to the worker, one typed command a line of `commands.jsonl`.

A command is obeyed at a step boundary and acknowledged in the journal by its `id`.
"""

import time as clock
import uuid

from msgspec import Struct, field

from engine.contract.rules import Rule, Stage


class Command(Struct, frozen=True, tag_field="command", tag=True):
    """What every command carries; subclasses put their own fields first."""


class _Stamped(Command, frozen=True, kw_only=True):
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    time: float = field(default_factory=clock.time)
    """Seconds since 1970."""


class Pause(_Stamped, frozen=True):
    """Stop stepping, keep everything in memory."""


class Resume(_Stamped, frozen=True):
    """Go on after a pause."""


class Stop(_Stamped, frozen=True):
    """Save a checkpoint and end."""


class SetLearningRate(_Stamped, frozen=True):
    """Change the base learning rate; schedule and multipliers go on applying to it."""

    lr: float


class Freeze(_Stamped, frozen=True):
    """Append a rule that freezes what `pattern` matches."""

    pattern: str


class Thaw(_Stamped, frozen=True):
    """Append a rule that trains what `pattern` matches."""

    pattern: str
    lr_scale: float = 1.0


class SetPlan(_Stamped, frozen=True):
    """Replace the whole plan, as a preset or an undo does."""

    rules: list[Rule]


class SetStages(_Stamped, frozen=True):
    """Replace the stages that are still to come; none calls them off.

    The first of them counts from where this is obeyed, not from the stage before.
    """

    stages: list[Stage]


class AutoRGN(_Stamped, frozen=True):
    """Measure relative gradient norms, and make them the multipliers of the plan."""


class SetOption(_Stamped, frozen=True):
    """Change a setting of the config that is one of `LIVE_OPTIONS`."""

    key: str
    """Dotted, as `--set` takes it."""
    value: str
    """As `--set` takes it."""


class Rewind(_Stamped, frozen=True):
    """Go back to the newest checkpoint at or before `step`; what came after it is given up."""

    step: int


class Evaluate(_Stamped, frozen=True):
    """Evaluate on the validation data now."""


class Checkpoint(_Stamped, frozen=True):
    """Save a checkpoint now."""


LIVE_OPTIONS = (
    "optimizer.weight_decay",
    "training.epochs",
    "training.clip_norm",
    "data.augment",
    "data.augment_strength",
    "early_stopping.patience",
    "early_stopping.min_delta",
    "early_stopping.restore_best",
    "guard.rollbacks",
    "guard.spike",
    "guard.lr_factor",
    "checkpoints.every_steps",
    "checkpoints.keep_last",
)
"""Settings that can be changed while a run trains; the base rate has a command of its own."""

AnyCommand = (
    Pause
    | Resume
    | Stop
    | SetLearningRate
    | Freeze
    | Thaw
    | SetPlan
    | SetStages
    | AutoRGN
    | SetOption
    | Rewind
    | Evaluate
    | Checkpoint
)

PlanCommand = Freeze | Thaw | SetPlan | AutoRGN
Steering = SetLearningRate | PlanCommand | SetStages | SetOption
"""Commands that change what later steps compute: a resumed run repeats them at their steps."""


def describe(command: AnyCommand) -> str:
    """A few words for a marker or a log line."""
    match command:
        case SetLearningRate(lr=lr):
            return f"lr {lr:g}"
        case Freeze(pattern=pattern):
            return f"freeze {pattern}"
        case Thaw(pattern=pattern):
            return f"thaw {pattern}"
        case SetPlan():
            return "plan"
        case SetStages(stages=stages):
            return f"{len(stages)} stages to come" if stages else "no stages to come"
        case AutoRGN():
            return "Auto-RGN"
        case SetOption(key=key, value=value):
            return f"{key.rpartition('.')[2]} {value}"
        case Rewind(step=step):
            return f"rewind {step}"
        case _:
            return type(command).__name__.lower()
