"""Everything a screen shows of a run, as a pure fold over its events.

The same fold serves the live view, attaching, the tests and `ftui ls`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple, TypeVar

from engine.contract import events as e
from engine.contract import toml
from engine.contract.commands import AnyCommand
from engine.contract.config import Config
from engine.contract.order import LIVE, Phase, next_phase
from engine.contract.rules import Rule, Stage
from engine.contract.series import StepSeries
from engine.contract.tasks import TASKS, TaskWords, falls
from engine.contract.tree import ModelInfo

_SKIPPED_NAMED = 100


class Marker(NamedTuple):
    """Something that was changed, for the plot."""

    step: int
    label: str


At = TypeVar("At", Marker, e.Evaluated, e.TextGenerated)


@dataclass
class RunState:
    """The fold. `apply` takes each event once, in the order of the journal."""

    phase: Phase = "new"
    config: Config | None = None
    """As asked, with the settings that were changed while live."""
    asked: Config | None = None
    """What `config.toml` said when the newest worker began."""
    parent: e.RunForked | None = None
    """Where the run goes on from, if it is a fork."""
    started: float | None = None
    """Seconds since 1970, of the first start."""
    updated: float | None = None
    """Time of the newest event."""
    lives: int = 0
    """Workers that have taken the run so far."""
    pid: int | None = None
    """Of the newest worker, on `host`."""
    host: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    stage: str = ""
    """What a preparing worker is busy with."""
    model: ModelInfo | None = None
    weights: str = ""
    data: e.DataIndexed | None = None
    longest: int | None = None
    """Tokens of the longest training sample; None where it is not known, or there are no texts."""
    device: str = ""
    device_name: str = ""
    precision: str = ""
    channels_last: bool = False
    threads: int = 0
    speed: e.SpeedMeasured | None = None
    """What was measured for these, where something was."""
    compiled: e.ModelCompiled | None = None
    """Newest, of the newest worker."""

    step: int = 0
    epoch: int = 0
    epochs: int = 0
    steps_per_epoch: int = 0
    ahead: int = 0
    """Of the schedule; `TrainingStarted.ahead`."""
    base_lr: float | None = None
    rules: list[Rule] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    """Those of the plan that are still to come."""
    trainable: int = 0
    norms: dict[str, float] = field(default_factory=dict)
    """Path of a block to its relative gradient norm, as last measured."""
    pieces: int = 1
    """Into how many each batch is cut so that it fits in memory."""
    cached: dict[str, e.PrefixCached] = field(default_factory=dict)
    filling: e.PrefixAdvanced | None = None
    """While the frozen part is being computed."""
    """What is remembered of the frozen part, for "training" and for "validation"."""
    samples_per_second: float | None = None
    memory: int | None = None
    """Bytes taken at most; `StepsTrained.memory`."""

    loss: StepSeries = field(default_factory=StepSeries)
    lr: StepSeries = field(default_factory=StepSeries)
    throughput: StepSeries = field(default_factory=StepSeries)
    evaluations: list[e.Evaluated] = field(default_factory=list)
    averaged: list[e.Evaluated] = field(default_factory=list)
    """Those of the moving average of the weights."""
    predictions: dict[str, e.PredictionsSaved] = field(default_factory=dict)
    """By the path of their file, as far as the run has not gone back behind them."""
    generated: list[e.TextGenerated] = field(default_factory=list)
    interpolations: list[e.InterpolationEvaluated] = field(default_factory=list)
    saved_model: e.ModelSaved | None = None
    comparison: e.ReplayCompared | None = None
    """Of a replay with the run that it repeats."""
    checkpoints: list[e.CheckpointSaved] = field(default_factory=list)
    rollbacks: list[e.Rewound] = field(default_factory=list)
    """Those rewinds that the guard decided on."""
    markers: list[Marker] = field(default_factory=list)
    answers: dict[str, e.CommandApplied | e.CommandRejected] = field(default_factory=dict)
    """Command id to its acknowledgement."""

    skipped: list[e.FileSkipped] = field(default_factory=list)
    """The first hundred."""
    skipped_count: int = 0
    warnings: list[str] = field(default_factory=list)
    early_stopped: e.EarlyStopped | None = None
    stopped_by: str = ""
    error: str = ""
    error_by_user: bool = False

    def apply(self, event: e.Event) -> None:
        """Take in one event."""
        self.phase = next_phase(self.phase, event)
        self.updated = event.time
        match event:
            case e.StepsTrained():
                self._steps([event])
            case e.RunStarted() | e.RunResumed():
                self._worker(event)
            case e.PreparationAdvanced():
                self.stage = event.stage
            case e.ModelLoaded():
                self.model, self.weights = event.model, event.weights
            case e.DataIndexed():
                self.data = event
            case e.TextsTokenised():
                self.longest = event.longest
            case e.SpeedMeasured():
                self.speed = event
            case e.TrainingStarted():
                self._training(event)
            case e.EpochStarted():
                self.epoch = event.epoch
            case e.Evaluated(weights="ema"):
                _replace(self.averaged, event, lambda x: x.reason)
            case e.Evaluated():
                _replace(self.evaluations, event, lambda x: x.reason)
            case e.PredictionsSaved():
                self.predictions[event.path] = event
            case e.TextGenerated():
                _replace(self.generated, event, lambda _: "")
            case e.CheckpointSaved():
                self.checkpoints.append(event)
            case e.LearningRateChanged():
                self.base_lr = event.lr
                self._mark(event.step, f"lr {event.lr:g}")
            case e.OptionChanged(key=key, value=value):
                self._set_options({key: value})
                self._mark(event.step, f"{key.rpartition('.')[2]} {value}")
            case e.PlanChanged():
                self.rules, self.trainable = event.rules, event.trainable
                self.stages = event.stages
                if event.change:
                    self._mark(event.step, event.change)
            case e.GradientsMeasured():
                self.norms = event.norms
            case e.Rewound():
                self._rewound(event)
            case e.MicroBatchHalved():
                self.pieces = event.pieces
                self._mark(event.step, f"1/{event.pieces} of a batch at once")
            case e.PrefixAdvanced():
                self.filling = event
            case e.PrefixCached():
                self.cached, self.filling = {**self.cached, event.data: event}, None
            case e.ModelCompiled():
                self.compiled = event
            case e.InterpolationEvaluated():
                others = [x for x in self.interpolations if x.alpha != event.alpha]
                self.interpolations = [*others, event]
            case e.ModelSaved():
                self.saved_model = event
            case e.ReplayCompared():
                self.comparison = event
            case e.RunForked():
                self.parent = event
            case e.RunPaused():
                self._mark(event.step, "pause")
            case e.RunContinued():
                self._mark(event.step, "resume")
            case e.CommandApplied() | e.CommandRejected():
                self.answers[event.command.id] = event
            case e.FileSkipped():
                self.skipped_count += 1
                if len(self.skipped) < _SKIPPED_NAMED:
                    self.skipped.append(event)
            case e.Warned():
                self.warnings.append(event.message)
            case e.NonFiniteLoss():
                self.warnings.append(f"The loss became {event.value} at step {event.step}.")
            case e.EarlyStopped():
                self.early_stopped = event
            case e.RunStopped():
                self.stopped_by = event.by
            case e.RunFailed():
                self.error, self.error_by_user = event.error, event.by_user

    def apply_all(self, events: Iterable[e.Event]) -> None:
        """Take in events in their order; of a stretch of steps, each costs little.

        A million steps that were told one by one are then folded in about a second.
        """
        for are_steps, stretch in groupby(events, key=lambda x: isinstance(x, e.StepsTrained)):
            if are_steps:
                self._steps([x for x in stretch if isinstance(x, e.StepsTrained)])
            else:
                for event in stretch:
                    self.apply(event)

    @property
    def live(self) -> bool:
        """Whether the journal says that a worker is on it; whether it lives, the lock says."""
        return self.phase in LIVE

    @property
    def total_steps(self) -> int:
        """At the end of the last epoch, those of epochs that had another length included."""
        return self.epochs * self.steps_per_epoch - self.ahead

    @property
    def best(self) -> dict[str, float]:
        """Metric name to its best value so far."""
        found: dict[str, float] = {}
        if losses := [x.loss for x in self.evaluations if x.loss is not None]:
            found["val_loss"] = min(losses)
        for key, figure in self.task.figures.items():
            if values := [x.figures[key] for x in self.evaluations if key in x.figures]:
                found[f"val_{key}"] = min(values) if figure.falls else max(values)
        return found

    @property
    def delivered(self) -> e.Evaluated | e.InterpolationEvaluated | None:
        """What the validation data gave for the weights of the finished model, where there is one
        and it was evaluated."""
        saved = self.saved_model
        if saved is None:
            return None
        if saved.alpha is not None:
            return next((x for x in self.interpolations if x.alpha == saved.alpha), None)
        evaluations = self.averaged if saved.averaged else self.evaluations
        return next((x for x in reversed(evaluations) if x.step == saved.step), None)

    @property
    def kept(self) -> e.Evaluated | e.InterpolationEvaluated | None:
        """What the validation data gave for the finished model, or until then for the best one: the
        newest that is saved as such, or of a fork that its parent still beats, by
        `early_stopping.metric`. None where that is not known."""
        if self.saved_model is not None and self.phase == "finished":
            return self.delivered
        metric = self.config.early_stopping.metric if self.config else "val_loss"
        weights, _, figure = metric.partition("_")
        sign = -1 if falls(metric) else 1
        judged = [
            (sign * value, x)
            for x in (self.averaged if weights == "ema" else self.evaluations)
            if x.reason == "epoch" and (value := x.value(figure)) is not None
        ]
        saved = next((x.step for x in reversed(self.checkpoints) if x.best), None)
        kept = [(value, x) for value, x in judged if x.step == saved]
        return max(kept or judged, key=lambda pair: pair[0], default=(0, None))[1]

    @property
    def task(self) -> TaskWords:
        """The words of what is learned; of a run that has not said it yet, the first there is."""
        return TASKS[self.config.task] if self.config else next(iter(TASKS.values()))

    def unanswered(self, commands: list[AnyCommand]) -> list[AnyCommand]:
        """Those of `commands` that the worker has neither applied nor rejected."""
        return [command for command in commands if command.id not in self.answers]

    def _steps(self, told: Sequence[e.StepsTrained]) -> None:
        """Those that follow on each other are put into the columns together."""
        first, loss, lr, rate = (
            told[0].first_step,
            list[float | None](),
            list[float](),
            list[float](),
        )
        for event in told:
            if event.first_step != first + len(loss):
                self._put(first, loss, lr, rate)
                first, loss, lr, rate = event.first_step, [], [], []
            loss += event.loss
            lr += event.lr
            rate += [event.samples_per_second] * len(event.loss)
        self._put(first, loss, lr, rate)
        last, self.filling = told[-1], None
        self.step, self.updated = last.last_step, last.time
        self.samples_per_second, self.memory = last.samples_per_second, last.memory

    def _mark(self, step: int, label: str) -> None:
        _replace(self.markers, Marker(step, label), lambda x: x.label)

    def _put(
        self, first: int, loss: list[float | None], lr: list[float], rate: list[float]
    ) -> None:
        self.loss.put(first, loss)
        self.lr.put(first, lr)
        self.throughput.put(first, rate)

    def _worker(self, event: e.RunStarted | e.RunResumed) -> None:
        self.lives += 1
        self.config = self.asked = event.config
        self.pid, self.host = event.pid, event.host
        self.versions = event.versions
        self.stage = self.error = self.stopped_by = ""
        self.error_by_user = False
        self.early_stopped = None
        self.interpolations, self.cached, self.compiled = [], {}, None
        if self.started is None:
            self.started = event.time
        if isinstance(event, e.RunResumed):
            self._forget_after(event.from_step)

    def _training(self, event: e.TrainingStarted) -> None:
        self.step, self.epoch, self.epochs = event.step, event.epoch, event.epochs
        self.steps_per_epoch, self.base_lr = event.steps_per_epoch, event.lr
        self.ahead, self.filling = event.ahead, None
        self._set_options(event.options)
        self.device, self.device_name = event.device, event.device_name
        self.precision, self.channels_last = event.precision, event.channels_last
        self.threads = event.threads

    def _set_options(self, options: Mapping[str, str]) -> None:
        if self.config and options:
            self.config = toml.with_options(self.config, options)
            self.epochs = self.config.training.epochs

    def _rewound(self, event: e.Rewound) -> None:
        self._forget_after(event.step)
        if event.by_guard:
            self.rollbacks.append(event)
        self.epoch, self.base_lr, self.ahead = event.epoch, event.lr, event.ahead
        self.config = self.asked
        if self.config:
            self.epochs = self.config.training.epochs
        self._set_options(event.options)
        self._mark(event.step, f"rewound: {event.reason}")

    def _forget_after(self, step: int) -> None:
        """Drop what a resumed worker does again; acknowledgements stay."""
        self.step = step
        for series in (self.loss, self.lr, self.throughput):
            series.cut(step)
        self.evaluations = [x for x in self.evaluations if x.step <= step]
        self.averaged = [x for x in self.averaged if x.step <= step]
        self.generated = [x for x in self.generated if x.step <= step]
        self.predictions = {k: x for k, x in self.predictions.items() if x.step <= step}
        self.checkpoints = [x for x in self.checkpoints if x.step <= step]
        self.markers = [x for x in self.markers if x.step <= step]


def _replace(found: list[At], new: At, kind: Callable[[At], str]) -> None:
    """Append what happened after a step, in place of the same kind of thing after the same step.

    A worker that died right behind a checkpoint leaves there what the next one does again.
    """
    first = bisect_left(found, new.step, key=lambda x: x.step)
    found[first:] = [x for x in found[first:] if kind(x) != kind(new)]
    found.append(new)
