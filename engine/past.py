"""What a run's journal says to the worker that resumes it."""

from dataclasses import dataclass, field
from pathlib import Path

from engine.contract import events as e
from engine.contract.commands import Steering
from engine.contract.order import Phase, next_phase
from engine.progress import Progress
from engine.runs.journal import event_tail


@dataclass
class Past:
    """The fold of a journal, as far as a worker needs it."""

    phase: Phase = "new"
    answered: set[str] = field(default_factory=set)
    """Ids of the commands that were applied or rejected."""
    steering: list[tuple[int, Steering]] = field(default_factory=list)
    """The steering commands that were applied, with their steps, as acknowledged."""
    skipped: set[str] = field(default_factory=set)
    """Paths of the files that are known to be unusable."""

    def apply(self, event: e.Event) -> None:
        self.phase = next_phase(self.phase, event)
        match event:
            case e.CommandApplied(step=step, command=command):
                self.answered.add(command.id)
                if isinstance(command, Steering):
                    self.steering.append((step, command))
            case e.CommandRejected(command=command):
                self.answered.add(command.id)
            case e.FileSkipped(path=path):
                self.skipped.add(path)

    def to_redo(self, progress: Progress) -> list[tuple[int, Steering]]:
        """The steering commands that a checkpoint at `progress` lacks, in the order of steps."""
        in_effect = set(progress.steering)
        lost = [(step, command) for step, command in self.steering if command.id not in in_effect]
        return sorted(lost, key=lambda item: item[0])


def read(folder: Path) -> Past:
    """The past of the run in `folder`; that of a run that never began is empty."""
    past, tail = Past(), event_tail(folder)
    while events := tail.chunk():
        for event in events:
            past.apply(event)
    return past
