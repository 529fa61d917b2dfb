"""Words from the world to the worker, one typed command a line of `commands.jsonl`.

A command is obeyed at a step boundary and acknowledged in the journal by its `id`.
"""

import time as clock
import uuid

from msgspec import Struct, field

from engine.contract.config import Rule


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


class Evaluate(_Stamped, frozen=True):
    """Evaluate on the validation data now."""


class Checkpoint(_Stamped, frozen=True):
    """Save a checkpoint now."""


AnyCommand = (
    Pause | Resume | Stop | SetLearningRate | Freeze | Thaw | SetPlan | Evaluate | Checkpoint
)

PlanCommand = Freeze | Thaw | SetPlan
Steering = SetLearningRate | PlanCommand
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
        case _:
            return type(command).__name__.lower()
