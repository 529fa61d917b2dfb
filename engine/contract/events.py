"""Words from the worker to the world, one typed event a line of `events.jsonl`.

Named in the past tense. `time` is seconds since 1970; `step` counts finished optimizer steps, so
the first step is 1 and an event at step 0 came before any; `epoch` counts from 1. Losses are None
where they were not finite, since JSON has no NaN. `engine.contract.order` says what may follow
what.
"""

import time as clock
from typing import Literal

from msgspec import Struct, field

from engine.contract.commands import AnyCommand
from engine.contract.config import Config, Rule
from engine.contract.tree import ModelInfo


class Event(Struct, frozen=True, kw_only=True, tag_field="event", tag=True):
    """What every event carries."""

    time: float = field(default_factory=clock.time)


class RunStarted(Event, frozen=True):
    """A worker took the run for the first time."""

    pid: int
    host: str
    versions: dict[str, str]
    """Package to version: ftui, torch, torchvision, python."""
    config: Config


class RunResumed(Event, frozen=True):
    """A worker took the run again; whatever the journal says after `from_step` is redone."""

    from_step: int
    pid: int
    host: str
    versions: dict[str, str]
    config: Config


class PreparationAdvanced(Event, frozen=True):
    """What the worker is busy with before the first step, in words."""

    stage: str


class ModelLoaded(Event, frozen=True):
    """The model stands, its head replaced."""

    model: ModelInfo
    weights: str
    """Where the weights came from, in words."""


class DataIndexed(Event, frozen=True):
    """The data is listed and split."""

    classes: list[str]
    train_counts: list[int]
    """Training pictures of each class."""
    val_counts: list[int]

    @property
    def baseline(self) -> float:
        """Validation accuracy of always saying the commonest training class."""
        majority = self.train_counts.index(max(self.train_counts))
        return self.val_counts[majority] / max(1, sum(self.val_counts))


class FileSkipped(Event, frozen=True):
    """A picture could not be used; told once a file."""

    path: str
    reason: str


class Warned(Event, frozen=True):
    """Something the user should know; the run goes on."""

    message: str


class TrainingStarted(Event, frozen=True):
    """Preparation is over; the next step is `step` + 1."""

    step: int
    epoch: int
    """The epoch under way or about to begin."""
    epochs: int
    steps_per_epoch: int
    lr: float
    """Base learning rate."""
    device: str
    device_name: str
    precision: str
    threads: int
    ahead: int = 0
    """Steps that epochs of this length would have taken so far, beyond those that were taken."""


class EpochStarted(Event, frozen=True):
    epoch: int
    step: int


class StepsTrained(Event, frozen=True):
    """A batch of consecutive steps, in columns."""

    first_step: int
    loss: list[float | None]
    """Mean training loss of each step, as minimised: of mixed pictures where they are mixed, label
    smoothing and class weights included; None where not finite."""
    lr: list[float]
    """Base rate times schedule of each step; a parameter's own multiplier comes on top."""
    images_per_second: float
    """Over these steps, reading included."""

    @property
    def last_step(self) -> int:
        return self.first_step + len(self.loss) - 1


class NonFiniteLoss(Event, frozen=True):
    """The loss became NaN or infinite; told for the first step of each stretch."""

    step: int
    value: str
    """'nan', 'inf' or '-inf'."""


class Evaluated(Event, frozen=True):
    """The validation data was run through the model in eval mode."""

    step: int
    epoch: int
    reason: Literal["epoch", "command"]
    loss: float | None
    """Mean cross-entropy, no label smoothing."""
    top1: float
    """Share of pictures whose first guess is right, 0 to 1."""
    top5: float | None
    """Share with the label among five guesses; None with fewer than 6 classes."""
    images: int
    seconds: float


class CheckpointSaved(Event, frozen=True):
    step: int
    path: str
    """Relative to the run's folder."""
    reason: Literal["epoch", "steps", "command", "stop", "end"]
    best: bool
    size: int
    """Bytes."""


class LearningRateChanged(Event, frozen=True):
    step: int
    lr: float
    """The new base rate, in force from `step` + 1."""


class PlanChanged(Event, frozen=True):
    """The plan in force from `step` + 1; also told once as training starts."""

    step: int
    rules: list[Rule]
    trainable: int
    """Parameters that train."""
    change: str
    """What changed, in a few words; empty for the plan that training starts with."""
    reinitialised: list[str] = []
    """Paths of the modules that this change gave new weights, "" for the model's own."""


class RunPaused(Event, frozen=True):
    step: int


class RunContinued(Event, frozen=True):
    step: int


class CommandApplied(Event, frozen=True):
    step: int
    command: AnyCommand


class CommandRejected(Event, frozen=True):
    step: int
    command: AnyCommand
    reason: str
    """One sentence."""


class EarlyStopped(Event, frozen=True):
    """The metric did not get better for `patience` evaluations; RunFinished follows."""

    step: int
    metric: str
    best: float | None
    """None where no value was finite."""
    patience: int


class RunFinished(Event, frozen=True):
    """All epochs are done, or early stopping ended them."""

    step: int


class RunStopped(Event, frozen=True):
    """Ended before its time, saved, and can be resumed."""

    step: int
    by: str
    """'command', 'SIGTERM' or 'SIGINT'."""


class RunFailed(Event, frozen=True):
    step: int
    error: str
    """One sentence."""
    by_user: bool
    """True where the user can mend it (a `UserError`); false for a defect: see worker.log."""


AnyEvent = (
    RunStarted
    | RunResumed
    | PreparationAdvanced
    | ModelLoaded
    | DataIndexed
    | FileSkipped
    | Warned
    | TrainingStarted
    | EpochStarted
    | StepsTrained
    | NonFiniteLoss
    | Evaluated
    | CheckpointSaved
    | LearningRateChanged
    | PlanChanged
    | RunPaused
    | RunContinued
    | CommandApplied
    | CommandRejected
    | EarlyStopped
    | RunFinished
    | RunStopped
    | RunFailed
)
