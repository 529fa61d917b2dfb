"""What a run's journal says to the worker that resumes it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import NamedTuple

from engine.contract import events as e
from engine.contract.commands import (
    AnyCommand,
    SetLearningRate,
    SetOption,
    SetStages,
    Steering,
)
from engine.contract.config import Config
from engine.contract.order import Phase, next_phase
from engine.contract.speed import Speed
from engine.progress import Position, Progress
from engine.runs.journal import event_tail

_SPEED = ("training.device", "training.precision", "training.channels_last")


class Obeyed(NamedTuple):
    """A command that was applied, and where."""

    step: int
    epoch: int
    stages_begun: int
    command: AnyCommand

    @property
    def position(self) -> Position:
        return self.step, self.epoch, self.stages_begun


@dataclass
class Past:
    """The fold of a journal, as far as a worker needs it."""

    phase: Phase = "new"
    answered: set[str] = field(default_factory=set)
    """Ids of the commands that were applied or rejected."""
    steering: list[Obeyed] = field(default_factory=list)
    """The steering commands that were applied, as acknowledged; without those that a later command
    or a later change of the config has made void."""
    config: Config | None = None
    """Of the newest worker."""
    threads: int | None = None
    """CPU threads that the run was trained with, unless the config asks for others now."""
    measured_threads: int | None = None
    """How many were measured to be the best."""
    speed: Speed | None = None
    """How the run computes, unless the config asks for something else now."""
    finished_at: int | None = None
    """The step at which the run was last finished."""
    checkpoints: set[str] = field(default_factory=set)
    """Paths of those that the journal tells of."""
    skipped: set[str] = field(default_factory=set)
    """Paths of the files that are known to be unusable."""
    code: str = ""
    """Digest of the user's own code that made the model."""

    def apply(self, event: e.Event) -> None:
        self.phase = next_phase(self.phase, event)
        match event:
            case e.RunStarted(config=config) | e.RunResumed(config=config):
                self.follow(config)
            case e.CommandApplied(command=command):
                self.answered.add(command.id)
                if isinstance(command, Steering):
                    obeyed = Obeyed(event.step, event.epoch, event.stages_begun, command)
                    void = overtaken(self.steering, obeyed)
                    self.steering = [item for item in self.steering if item not in void]
                    self.steering.append(obeyed)
            case e.Rewound():
                back_to = event.step, event.epoch, event.stages_begun
                self.steering = [item for item in self.steering if item.position < back_to]
            case e.CommandRejected(command=command):
                self.answered.add(command.id)
            case e.SpeedMeasured(tried=tried, chosen=chosen):
                self.measured_threads = tried[chosen].threads
            case e.TrainingStarted(threads=threads):
                self.threads, self.speed = threads, speed_of(event)
            case e.CheckpointSaved(path=path):
                self.checkpoints.add(path)
            case e.ModelLoaded(code=code):
                self.code = code
            case e.FileSkipped(path=path):
                self.skipped.add(path)
            case e.RunFinished(step=step):
                self.finished_at = step

    def follow(self, config: Config) -> None:
        """Take in what a worker is asked, which wins over the commands that came before it."""
        before = self.config or config
        self.steering = [item for item in self.steering if _stands(item.command, config, before)]
        if self.config and config.training.threads != self.config.training.threads:
            self.threads = None
        if self.config and not all(same(key, config, self.config) for key in _SPEED):
            self.speed = None
        self.config = config

    def to_redo(self, progress: Progress) -> list[Obeyed]:
        """The steering commands that a checkpoint at `progress` lacks, in the order of steps."""
        in_effect = set(progress.steering)
        lost = [item for item in self.steering if item.command.id not in in_effect]
        return sorted(lost, key=lambda item: item.position)


def overtaken(obeyed: Iterable[Obeyed], newer: Obeyed) -> list[Obeyed]:
    """Those that `newer` takes the place of, since they came after the place where it was obeyed.

    Only a resumed run has any: from before the resume, of steps that it has not redone yet. They
    were meant for the rate, the plan or the setting as it was then, so a newer decision makes all
    of its kind void.
    """
    kind = _kind(newer.command)
    return [x for x in obeyed if x.position > newer.position and _kind(x.command) == kind]


def same(key: str, one: Config, other: Config) -> bool:
    """Whether two configs have the same value of a setting, by its dotted key."""
    values = [reduce(getattr, key.split("."), config) for config in (one, other)]
    return bool(values[0] == values[1])


def speed_of(event: e.TrainingStarted) -> Speed:
    """How a run computes from there."""
    return Speed(event.device.partition(":")[0], event.precision, event.channels_last)


def _kind(command: AnyCommand) -> str:
    """What a steering command decides: the dotted key of a setting."""
    match command:
        case SetLearningRate():
            return "optimizer.lr"
        case SetOption(key=key):
            return key
        case SetStages():
            return "stages"
        case _:
            return "trainable"


def _stands(command: AnyCommand, config: Config, before: Config) -> bool:
    """Whether no change of the config decides the same anew."""
    return same(_kind(command), config, before)


def read(folder: Path) -> Past:
    """The past of the run in `folder`; that of a run that never began is empty."""
    past, tail = Past(), event_tail(folder)
    while events := tail.chunk():
        for event in events:
            past.apply(event)
    return past
