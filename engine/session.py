"""A run while it trains: what the loop, the evaluation and the commands work on."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from engine import adapters, freeze, l2_sp, layout, optim, origin, recompute, reinit
from engine.averaging import MovingAverage
from engine.checkpoint import Checkpoint
from engine.compiling import Compiled
from engine.contract import plan, toml
from engine.contract.adapters import left_out
from engine.contract.config import Config
from engine.contract.events import PlanChanged
from engine.contract.rules import Rule
from engine.contract.tree import ModelInfo
from engine.data.batch import Batch, Inputs
from engine.data.transforms import Normalise
from engine.device import Device
from engine.guard import Guard
from engine.past import Obeyed
from engine.pending import Pending
from engine.prefix.using import Prefix
from engine.progress import Progress
from engine.schedule import factor
from engine.script import Line
from engine.shards import Stamp
from engine.tasks.task import Objective, TrainData, ValData


@dataclass
class Session:
    """Everything of a run that is in memory.

    Whatever must survive a resume is in `progress`, or in the tensors of `engine.snapshot`. The
    plan is put into force by `set_plan`, which must come before the first step.
    """

    asked: Config
    """What `config.toml` says; `config` is that with the settings that were changed while live."""
    folder: Path
    info: ModelInfo
    module: nn.Module
    classes: list[str]
    train_data: TrainData
    val_data: ValData
    device: Device
    objective: Objective
    progress: Progress
    samples: str = ""
    """Digest of the list of training samples; `Index.digest`."""
    name_of: Callable[[int], str] | None = None
    """Names validation samples, as `Index.name_of`; where nobody does, no predictions are kept."""
    told: Sequence[str] = ()
    """Paths of skipped files that the journal names already."""
    origin: Mapping[str, Tensor] = field(default_factory=dict)
    """The weights that the run began with, on the CPU, where it goes back to them."""
    redo: deque[Obeyed] = field(default_factory=deque)
    """Commands that a crash lost, to be repeated when the run is where they were obeyed."""
    script: deque[Line] = field(default_factory=deque)
    """What the run is still to repeat of another one."""
    found: Checkpoint | None = None
    """The checkpoint that the run goes on from, where the journal does not tell of it yet."""
    handover: Line | None = None
    """The run goes on from here with the config of that line, in another session."""
    paused: bool = False
    stopping: str = ""
    """Who wants the run to end at the next step boundary: 'command', 'SIGTERM' or 'SIGINT'."""
    trainable: list[nn.Parameter] = field(default_factory=list)
    anchors: l2_sp.Anchors = field(default_factory=list)
    """What L2-SP pulls, and to where."""
    reinitialised: list[str] = field(default_factory=list)
    """Paths of the modules that the plan gave new weights when it was put into force."""
    merged: list[str] = field(default_factory=list)
    """Paths of the layers whose adapters were merged into their weights by then."""
    last_saved: tuple[Checkpoint | None, bytes] = (None, b"")
    """The last checkpoint of this session, and the progress in it, encoded."""
    frozen_as: Stamp = field(default_factory=list)
    """What was frozen when it was saved."""

    def __post_init__(self) -> None:
        self.config = self.asked
        self.module.to(self.device.torch_device)
        self.optimizer = optim.build(self.module, self.config.optimizer)
        self.scaler = self.device.scaler()
        self.guard = Guard(self.progress, patient=self.scaler is not None)
        decay = self.config.regularisation.ema
        self.average = MovingAverage(decay) if decay else None
        self.pending = Pending(self.progress, self.told, self._watch, self.device.peak_memory)
        pre = self.info.preprocessing
        self._normalise = Normalise(pre) if pre else None
        self._assignments: Mapping[str, plan.Assignment] = {}
        self._batches: Iterator[Batch] | None = None
        self.train_prefix, self.val_prefix = Prefix("training"), Prefix("validation")
        self._lr: float | None = None
        self._told_left_out = ""
        training = self.config.training
        self.compiled = Compiled(self.module) if training.compile else None
        self.blocks = recompute.blocks(self.info, self.module) if training.recompute else {}

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.train_data) // self.config.training.accumulate)

    @property
    def at_start(self) -> bool:
        """Whether nothing was trained yet."""
        p = self.progress
        return (p.step, p.epoch, p.batch) == (0, 1, 0)

    def pieces_of(self, size: int) -> int:
        """Into how many pieces a batch of `size` pictures is cut; each has two at least, as
        BatchNorm can't train on one."""
        at_once = max(2, -(-self.config.data.batch_size // self.progress.pieces))
        return max(1, min(-(-size // at_once), size // 2))

    @property
    def done(self) -> bool:
        """Whether all epochs are, or early stopping ends the run."""
        p = self.progress
        stopped_early = p.batch == 0 and p.exhausted(self.config.early_stopping)
        return p.epoch > self.config.training.epochs or stopped_early

    @property
    def trainable_parameters(self) -> int:
        """Elements, not tensors."""
        return sum(parameter.numel() for parameter in self.trainable)

    def set_plan(self, rules: Sequence[Rule]) -> None:
        """Put a plan into force. Raises `UserError`, with nothing changed, where it can't be.

        Adapters come and go. Modules that it is the first plan of the run to re-initialise begin
        anew, moments included.
        """
        assignments = plan.resolve(rules, self.info)
        freeze.check_trains(assignments)
        self.frozen_as = []  # what trained since moved, and fused optimizers count no versions
        begin_anew = reinit.due(self.module, assignments, self.progress.reinitialised)
        self.merged = adapters.apply(self.module, assignments, self.config.training.seed)
        freeze.apply_plan(self.module, assignments)
        for path in begin_anew:  # what is drawn depends on the layout
            layout.lay_out(self.module.get_submodule(path), channels_last=False)
        reinit.draw(self.module, begin_anew, self.config.training.seed)
        for path in begin_anew:
            optim.forget(self.optimizer, self.module.get_submodule(path))
        self._lay_out()
        self.reinitialised = begin_anew
        self.progress.reinitialised += begin_anew
        self._assignments = assignments
        self._regroup()
        self.trainable = [p for p in self.module.parameters() if p.requires_grad]
        self.anchors = l2_sp.anchors(self.module, self._pulled)
        if self.average:
            self.average.follow(self.module, [*begin_anew, *self.merged])
        self.progress.rules = list(rules)
        if self.compiled:
            self.compiled.begin_anew()
        self.look_for_prefix()

    def use(self, device: Device) -> None:
        """Compute in another precision or layout from now on."""
        self.device = device
        self._lay_out()
        self.anchors = l2_sp.anchors(self.module, self._pulled)

    def _lay_out(self) -> None:
        layout.lay_out(self.module, self.device.channels_last)
        optim.lay_out(self.optimizer)
        if self.average:
            self.average.lay_out()

    def look_for_prefix(self) -> None:
        """Before the next step: something that it depends on may have changed."""
        self.train_prefix.due = self.val_prefix.due = True

    def set_options(self, options: Mapping[str, str]) -> None:
        """Have exactly these settings other than `asked`. Raises `UserError` where one can't be."""
        before, self.config = self.config, toml.with_options(self.asked, options)
        self.progress.options = dict(options)
        data = self.config.data
        if (data.augment, data.augment_strength) != (
            before.data.augment,
            before.data.augment_strength,
        ):
            self.train_data.set_augmentation(data.augment, data.augment_strength)
            self.reopen_data()
        self.look_for_prefix()
        if self._assignments:
            self._regroup()

    def next_batch(self) -> Batch:
        """The next of the epoch under way, which must have one left."""
        p = self.progress
        if self._batches is None:
            self._batches = self.train_prefix.epoch(self.train_data, p.epoch, p.batch)
        batch = next(self._batches)
        p.batch += 1
        if p.batch == len(self.train_data):
            self._batches = None
        return batch

    def feed(self, batch: Batch) -> None:
        """Have this be the next batch; `reopen_data` goes on with the epoch's."""
        self._batches = iter([batch])

    def send(self, inputs: Inputs) -> Inputs:
        """What goes into the model, on its device: pictures travel as bytes."""
        if self._normalise and isinstance(inputs, Tensor) and inputs.dtype == torch.uint8:
            inputs = self._normalise(self.device.send(inputs))
        return self.device.send_all(inputs)

    def drop_gradients(self) -> None:
        """Give back the memory of those that there are."""
        for parameter in self.trainable:
            parameter.grad = None

    def reopen_data(self) -> None:
        """Read on from where `progress` is: it was moved, or what is read has changed."""
        self._batches = self.train_prefix.reading = None

    def update_lr(self) -> float:
        """Give the optimizer the rate of the next step, and return it: base times schedule."""
        p, total = self.progress, self.config.training.epochs * self.steps_per_epoch
        lr = p.base_lr * factor(p.step, total, self.config.schedule, p.ahead)
        if lr != self._lr:
            optim.set_lr(self.optimizer, lr)
            self._lr = lr
        return lr

    @property
    def _pulled(self) -> Mapping[str, Tensor]:
        """Where the parameters started that L2-SP is for, by name."""
        on = self.config.regularisation.l2_sp > 0
        return origin.points(self.origin, self.progress.reinitialised) if on else {}

    def _regroup(self) -> None:
        config = self.config.optimizer
        optim.regroup(self.optimizer, self.module, self._assignments, config, self._pulled)
        self._lr = None

    def _watch(self, step: int, loss: float) -> None:
        self.guard.watch(step, loss, self.config.guard)

    def plan_changed(self, change: str) -> PlanChanged:
        """The plan in force, as an event; `change` says in a few words what is new."""
        if self.merged:
            words = f"adapters of {len(self.merged)} layers merged"
            change, self.merged = f"{change}; {words}" if change else words, []
        return PlanChanged(
            step=self.progress.step,
            rules=list(self.progress.rules),
            trainable=self.trainable_parameters,
            change=change,
            reinitialised=self.reinitialised,
            stages=list(self.progress.stages),
        )

    def left_out(self) -> list[str]:
        """What the plan in force has no adapter for, in a sentence; one is told once."""
        told, self._told_left_out = self._told_left_out, left_out(self.progress.rules, self.info)
        return [self._told_left_out] if self._told_left_out not in ("", told) else []
