"""A run while it trains: what the loop, the evaluation and the commands work on."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from engine import freeze, optim, reinit
from engine.checkpoint import Checkpoint
from engine.contract import plan
from engine.contract.config import Config
from engine.contract.events import FileSkipped, PlanChanged
from engine.contract.rules import Rule
from engine.contract.tree import ModelInfo
from engine.device import Device
from engine.past import Obeyed
from engine.pending import Pending
from engine.progress import Progress
from engine.schedule import factor
from engine.tasks import Task


class Batch(Protocol):
    """Inputs and labels whose first axis is the batch, maybe empty; and what was left out."""

    images: Tensor
    labels: Tensor
    skipped: list[FileSkipped]


class TrainData(Protocol):
    """Batches of an epoch: a function of its number alone, from any batch on."""

    def __len__(self) -> int: ...

    def epoch(self, number: int, skip_batches: int = 0) -> Iterator[Batch]: ...

    def close(self) -> None: ...


class ValData(Protocol):
    """Batches to evaluate on, the same each time."""

    def __iter__(self) -> Iterator[Batch]: ...

    def close(self) -> None: ...


@dataclass
class Session:
    """Everything of a run that is in memory.

    Whatever must survive a resume is in `progress`, or in the tensors of `engine.snapshot`. The
    plan is put into force by `set_plan`, which must come before the first step.
    """

    config: Config
    folder: Path
    info: ModelInfo
    module: nn.Module
    classes: list[str]
    train_data: TrainData
    val_data: ValData
    device: Device
    task: Task
    progress: Progress
    pictures: str = ""
    """Digest of the list of training pictures; `DataIndex.digest`."""
    told: Sequence[str] = ()
    """Paths of skipped files that the journal names already."""
    redo: deque[Obeyed] = field(default_factory=deque)
    """Steering commands that were obeyed after the checkpoint, in the order of their steps."""
    paused: bool = False
    stopping: str = ""
    """Who wants the run to end at the next step boundary: 'command', 'SIGTERM' or 'SIGINT'."""
    trainable: list[nn.Parameter] = field(default_factory=list)
    reinitialised: list[str] = field(default_factory=list)
    """Paths of the modules that the plan gave new weights when it was put into force."""
    last_saved: tuple[Checkpoint | None, bytes] = (None, b"")
    """The last checkpoint of this session, and the progress in it, encoded."""

    def __post_init__(self) -> None:
        self.module.to(self.device.torch_device)
        self.optimizer = optim.build(self.module, self.config.optimizer)
        self.scaler = self.device.scaler()
        self.pending = Pending(self.progress, self.told)
        self._lr: float | None = None

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.train_data) // self.config.training.accumulate)

    @property
    def done(self) -> bool:
        """Whether all epochs are, or early stopping ends the run."""
        all_epochs = self.progress.epoch > self.config.training.epochs
        return all_epochs or self.progress.exhausted(self.config.early_stopping)

    @property
    def trainable_parameters(self) -> int:
        """Elements, not tensors."""
        return sum(parameter.numel() for parameter in self.trainable)

    def set_plan(self, rules: Sequence[Rule]) -> None:
        """Put a plan into force. Raises `UserError`, with nothing changed, where it can't be.

        Modules that it is the first plan of the run to re-initialise begin anew, moments included.
        """
        assignments = plan.resolve(rules, self.info)
        begin_anew = reinit.due(self.module, assignments, self.progress.reinitialised)
        freeze.apply_plan(self.module, assignments)
        reinit.draw(self.module, begin_anew, self.config.training.seed)
        for path in begin_anew:
            optim.forget(self.optimizer, self.module.get_submodule(path))
        self.reinitialised = begin_anew
        self.progress.reinitialised += begin_anew
        optim.regroup(self.optimizer, self.module, assignments, self.config.optimizer)
        self.trainable = [p for p in self.module.parameters() if p.requires_grad]
        self.progress.rules = list(rules)
        self._lr = None

    def update_lr(self) -> float:
        """Give the optimizer the rate of the next step, and return it: base times schedule."""
        p, total = self.progress, self.config.training.epochs * self.steps_per_epoch
        lr = p.base_lr * factor(p.step, total, self.config.schedule, p.ahead)
        if lr != self._lr:
            optim.set_lr(self.optimizer, lr)
            self._lr = lr
        return lr

    def plan_changed(self, change: str) -> PlanChanged:
        """The plan in force, as an event; `change` says in a few words what is new."""
        return PlanChanged(
            step=self.progress.step,
            rules=list(self.progress.rules),
            trainable=self.trainable_parameters,
            change=change,
            reinitialised=self.reinitialised,
        )
