"""How far a run is: with the tensors of `engine.snapshot`, everything that a resume needs."""

from msgspec import Struct

from engine.contract.rules import Rule, Stage
from engine.contract.tasks import falls
from engine.contract.training_tables import EarlyStoppingConfig

Position = tuple[int, int, int]
"""Between steps: steps taken, the epoch under way or about to begin, which behind an evaluation is
the next one, and stages begun."""


class Progress(Struct):
    """Every variable of the loop that must survive, in one place; torch is not needed to read it.

    `batch` counts the batches of `epoch` that are done; at the number of batches an epoch the
    epoch's evaluation is still to come.
    """

    base_lr: float
    rules: list[Rule]
    """The plan in force; never empty."""
    step: int = 0
    epoch: int = 1
    batch: int = 0
    ahead: int = 0
    """Steps by which the schedule is ahead of `step`: had all epochs been read as they are now,
    the run would have taken `step + ahead`."""
    best: float | None = None
    """Best value so far of the early-stopping metric."""
    stale: int = 0
    """Evaluations since then."""
    steering: list[str] = []
    """Ids of the steering commands in effect, and of those that a resume could not repeat."""
    options: dict[str, str] = {}
    """Settings in force that were changed while live, as `--set` takes them."""
    reinitialised: list[str] = []
    """Paths of the modules that the plan has given new weights; they get them once."""

    measured: bool = False
    """Whether Auto-RGN has made the first plan, where `training.auto_rgn` asks for it."""

    stages: list[Stage] = []
    """Those still to come."""
    stages_begun: int = 0
    stage_epoch: int = 1
    """From when the next stage counts, the beginning of the newest one or of the run, or when the
    stages were changed live: the epoch then under way or about to begin."""
    stage_step: int = 0
    stage_best: float | None = None
    """Best value since then of the early-stopping metric."""
    stage_stale: int = 0
    """Evaluations since that one."""

    not_finite: int = 0
    """Steps in a row, up to the last, whose loss was not finite."""
    recent: list[float] = []
    """Losses of the last steps, for the guard to tell a spike from."""

    configs: int = 0
    """How often the run went on with another config."""
    rewinds: int = 0
    """How often it went back to a checkpoint."""
    rollbacks: int = 0
    """How many of these were the guard's."""
    rolled_back_to: int | None = None
    """The step that the last of these went to."""
    pieces: int = 1
    """Into how many each batch is cut so that it fits in memory."""

    @property
    def position(self) -> Position:
        """Where between steps the run is."""
        return self.step, self.epoch, self.stages_begun

    def judge(self, value: float | None, config: EarlyStoppingConfig) -> bool:
        """Take in the metric of an epoch; whether it is the best so far. None is never better."""
        better = _better(value, self.best, config)
        self.best, self.stale = (value, 0) if better else (self.best, self.stale + 1)
        if _better(value, self.stage_best, config):
            self.stage_best, self.stage_stale = value, 0
        else:
            self.stage_stale += 1
        return better

    def count_stages_from(self, step: int, epoch: int) -> None:
        """Start the clock of the next stage."""
        self.stage_step, self.stage_epoch = step, epoch
        self.stage_best, self.stage_stale = None, 0

    def exhausted(self, config: EarlyStoppingConfig) -> bool:
        """Whether early stopping ends the run."""
        return 0 < config.patience <= self.stale

    def be_patient_anew(self, config: EarlyStoppingConfig) -> bool:
        """Let a run that early stopping has ended go on; whether it had."""
        ended = self.exhausted(config)
        self.stale = 0 if ended else self.stale
        return ended

    def go_back_to(self, saved: "Progress") -> None:
        """Be as `saved` says, but for what a run learns once and for all."""
        for name in self.__struct_fields__:
            if name not in _LEARNT_FOR_GOOD:
                setattr(self, name, getattr(saved, name))


_LEARNT_FOR_GOOD = ("configs", "rewinds", "rollbacks", "rolled_back_to", "pieces")


def _better(value: float | None, best: float | None, config: EarlyStoppingConfig) -> bool:
    sign = -1.0 if falls(config.metric) else 1.0
    return value is not None and (best is None or sign * (value - best) > config.min_delta)
