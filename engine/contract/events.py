"""Words from the worker to the world, one typed event a line of `events.jsonl`.

Named in the past tense. `time` is seconds since 1970; `step` counts finished optimizer steps, so
the first step is 1 and an event at step 0 came before any; `epoch` counts from 1. Losses are None
where they were not finite, since JSON has no NaN. What may follow what: `engine.contract.order`.
"""

from typing import Literal

from msgspec import field

from engine.contract.baseline import Baseline
from engine.contract.commands import AnyCommand
from engine.contract.config import Config
from engine.contract.evaluations import Evaluated as Evaluated
from engine.contract.evaluations import InterpolationEvaluated as InterpolationEvaluated
from engine.contract.evaluations import PredictionsSaved as PredictionsSaved
from engine.contract.evaluations import TextGenerated as TextGenerated
from engine.contract.event import Event as Event
from engine.contract.rules import Rule, Stage
from engine.contract.speed import ModelCompiled as ModelCompiled
from engine.contract.speed import PrefixAdvanced as PrefixAdvanced
from engine.contract.speed import PrefixCached as PrefixCached
from engine.contract.speed import SpeedMeasured as SpeedMeasured
from engine.contract.tree import ModelInfo


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


class RunForked(Event, frozen=True):
    """The run goes on from another one, which it first repeats up to a step."""

    parent: str
    """The folder of that run, absolute."""
    step: int
    """The last one that the two have in common."""


class PreparationAdvanced(Event, frozen=True):
    """What the worker is busy with before the first step, in words."""

    stage: str


class ModelLoaded(Event, frozen=True):
    """The model stands, its head replaced."""

    model: ModelInfo
    weights: str
    """Where the weights came from, in words."""
    code: str = ""
    """Digest of the user's own code that made it, where that did."""


class DataIndexed(Event, frozen=True):
    """The data is listed and split."""

    classes: list[str]
    """Empty where the task has none."""
    train_counts: list[int]
    """Training samples of each class; of a task without classes all in one number. Of segmentation
    the pictures that show each class, so that one picture may count several times."""
    val_counts: list[int]
    baseline: Baseline | None = None


class TextsTokenised(Event, frozen=True):
    """Texts are tokens, cut to what the model takes."""

    longest: int
    """Tokens of the longest training sample: no batch is padded to more."""


class FileSkipped(Event, frozen=True):
    """A file could not be used; told once a file."""

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
    channels_last: bool = False
    options: dict[str, str] = field(default_factory=dict)
    """Settings that were changed while live, by `SetOption`, and are in force."""
    ahead: int = 0
    """Steps that epochs of this length would have taken so far, beyond those that were taken."""
    rewinds: int = 0
    """How often the run went back to a checkpoint so far."""
    configs: int = 0
    """How often it went on with another config so far."""


class EpochStarted(Event, frozen=True):
    epoch: int
    step: int


class StepsTrained(Event, frozen=True):
    """A batch of consecutive steps, in columns."""

    first_step: int
    loss: list[float | None]
    """Mean training loss of each step, as minimised (mixing, smoothing and class weights included);
    None where not finite."""
    lr: list[float]
    """Base rate times schedule of each step; a parameter's own multiplier comes on top."""
    samples_per_second: float
    """Over these steps, reading included."""
    memory: int | None = None
    """Bytes that the run took at most so far, beyond the program itself: of a GPU those of its
    tensors, else those of its process, with what its allocator keeps."""

    @property
    def last_step(self) -> int:
        return self.first_step + len(self.loss) - 1


class NonFiniteLoss(Event, frozen=True):
    """The loss became NaN or infinite; told for the first step of each stretch."""

    step: int
    value: str
    """'nan', 'inf' or '-inf'."""


class CheckpointSaved(Event, frozen=True):
    step: int
    path: str
    """Relative to the run's folder."""
    reason: Literal["start", "epoch", "steps", "command", "stop", "end", "rewind", "fork", "found"]
    """found: by a worker that goes on from it, since the one before died too soon to tell."""
    best: bool
    size: int  # bytes
    epoch: int = 0
    """The epoch under way or about to begin."""
    stages_begun: int = 0


class LearningRateChanged(Event, frozen=True):
    step: int
    lr: float
    """The new base rate, in force from `step` + 1."""


class OptionChanged(Event, frozen=True):
    """A setting has another value from `step` + 1 on."""

    step: int
    key: str
    value: str
    """As `--set` takes it."""


class PlanChanged(Event, frozen=True):
    """The plan in force from `step` + 1; also told once as training starts."""

    step: int
    rules: list[Rule]
    trainable: int
    """Parameters that train."""
    change: str
    """What changed, in a few words; empty for the plan that training starts with."""
    reinitialised: list[str] = field(default_factory=list)
    """Paths of the modules that this change gave new weights, "" for the model's own."""
    stages: list[Stage] = field(default_factory=list)
    """Those still to come."""


class GradientsMeasured(Event, frozen=True):
    """Relative gradient norms, of which Auto-RGN makes multipliers: |gradient| / |weight|."""

    step: int
    norms: dict[str, float]
    """Path of a block to its norm, in the order of the model."""


class Rewound(Event, frozen=True):
    """The run is back at a checkpoint; whatever the journal says after it is given up."""

    step: int
    """Of the checkpoint."""
    epoch: int
    """The one under way or about to begin there."""
    from_step: int
    """Where the run was."""
    from_epoch: int
    lr: float
    """Base learning rate in force from here."""
    options: dict[str, str]
    """Settings in force that were changed while live."""
    reason: str
    """Why, in a few words: a command, or what the guard saw."""
    by_guard: bool
    ahead: int = 0
    """As `TrainingStarted.ahead`."""
    stages_begun: int = 0
    """There."""
    from_stages_begun: int = 0


class MicroBatchHalved(Event, frozen=True):
    """A batch did not fit in memory: it goes through the model in more and smaller pieces.

    Gradients add up to those of the whole batch, so the step stays what it was.
    """

    step: int
    pieces: int
    """Into how many each batch is cut now."""
    samples: int
    """How many are in the largest of them."""


class RunPaused(Event, frozen=True):
    step: int


class RunContinued(Event, frozen=True):
    step: int


class CommandApplied(Event, frozen=True):
    step: int
    command: AnyCommand
    epoch: int = 0
    """The epoch under way or about to begin: behind an evaluation it is the next one."""
    stages_begun: int = 0


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


class ModelSaved(Event, frozen=True):
    """The finished model, for use outside: weights by the names of the model's own library."""

    step: int
    """The step that its weights are of."""
    path: str
    """Relative to the run's folder."""
    weights: str
    """Which, in words: 'best, epoch 3', 'last', 'moving average', 'WiSE-FT 0.7'."""
    size: int  # bytes
    averaged: bool = False
    alpha: float | None = None
    """The share of the tuned weights, where WiSE-FT has chosen one."""


class ReplayCompared(Event, frozen=True):
    """A replay has come to where the other run is: are the two the same, bit for bit?"""

    step: int
    tensors: int
    """Parameters and buffers that were compared."""
    different: list[str]
    """Names of those that differ."""
    largest: float
    """Largest difference of two values; 0 where nothing differs."""


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
    | RunForked
    | PreparationAdvanced
    | ModelLoaded
    | DataIndexed
    | TextsTokenised
    | FileSkipped
    | Warned
    | TrainingStarted
    | EpochStarted
    | StepsTrained
    | NonFiniteLoss
    | Evaluated
    | PredictionsSaved
    | TextGenerated
    | CheckpointSaved
    | LearningRateChanged
    | OptionChanged
    | PlanChanged
    | GradientsMeasured
    | Rewound
    | MicroBatchHalved
    | PrefixAdvanced
    | PrefixCached
    | SpeedMeasured
    | ModelCompiled
    | RunPaused
    | RunContinued
    | CommandApplied
    | CommandRejected
    | EarlyStopped
    | InterpolationEvaluated
    | ModelSaved
    | ReplayCompared
    | RunFinished
    | RunStopped
    | RunFailed
)
