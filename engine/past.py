"""What a run's journal says to the worker that resumes it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType

from engine.contract import events as e
from engine.contract.commands import Command, PlanCommand, SetLearningRate, Steering
from engine.contract.config import Config
from engine.contract.order import Phase, next_phase
from engine.progress import Progress
from engine.runs.journal import event_tail

Obeyed = tuple[int, Steering]
"""A steering command that was applied, after its step."""


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
    finished_at: int | None = None
    """The step at which the run was last finished."""
    skipped: set[str] = field(default_factory=set)
    """Paths of the files that are known to be unusable."""

    def apply(self, event: e.Event) -> None:
        self.phase = next_phase(self.phase, event)
        match event:
            case e.RunStarted(config=config) | e.RunResumed(config=config):
                self.follow(config)
            case e.CommandApplied(step=step, command=command):
                self.answered.add(command.id)
                if isinstance(command, Steering):
                    void = overtaken(self.steering, step, command)
                    self.steering = [item for item in self.steering if item not in void]
                    self.steering.append((step, command))
            case e.CommandRejected(command=command):
                self.answered.add(command.id)
            case e.TrainingStarted(threads=threads):
                self.threads = threads
            case e.FileSkipped(path=path):
                self.skipped.add(path)
            case e.RunFinished(step=step):
                self.finished_at = step

    def follow(self, config: Config) -> None:
        """Take in what a worker is asked, which wins over the commands that came before it."""
        if self.config and config.optimizer.lr != self.config.optimizer.lr:
            self._give_up(SetLearningRate)
        if self.config and config.trainable != self.config.trainable:
            self._give_up(PlanCommand)
        if self.config and config.training.threads != self.config.training.threads:
            self.threads = None
        self.config = config

    def to_redo(self, progress: Progress) -> list[Obeyed]:
        """The steering commands that a checkpoint at `progress` lacks, in the order of steps."""
        in_effect = set(progress.steering)
        lost = [(step, command) for step, command in self.steering if command.id not in in_effect]
        return sorted(lost, key=lambda item: item[0])

    def _give_up(self, kind: type[Command] | UnionType) -> None:
        self.steering = [item for item in self.steering if not isinstance(item[1], kind)]


def overtaken(obeyed: Iterable[Obeyed], step: int, command: Steering) -> list[Obeyed]:
    """Those that `command`, obeyed at `step`, takes the place of, since they came after `step`.

    Only a resumed run has any: from before the resume, of steps that it has not redone yet. They
    were meant for the rate or the plan as it was then, so a newer decision makes all of its kind
    void, which are the commands for the rate, or those for the plan.
    """
    kind = SetLearningRate if isinstance(command, SetLearningRate) else PlanCommand
    return [item for item in obeyed if item[0] > step and isinstance(item[1], kind)]


def read(folder: Path) -> Past:
    """The past of the run in `folder`; that of a run that never began is empty."""
    past, tail = Past(), event_tail(folder)
    while events := tail.chunk():
        for event in events:
            past.apply(event)
    return past
