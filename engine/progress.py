"""How far a run is: with the tensors of `engine.snapshot`, everything that a resume needs."""

from msgspec import Struct

from engine.contract.config import EarlyStoppingConfig
from engine.contract.rules import Rule


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
    diverged: bool = False
    """Whether the loss of the last step was not finite."""
    steering: list[str] = []
    """Ids of the steering commands in effect, and of those that a resume could not repeat."""
    reinitialised: list[str] = []
    """Paths of the modules that the plan has given new weights; they get them once."""

    def judge(self, value: float | None, config: EarlyStoppingConfig) -> bool:
        """Take in the metric of an epoch; whether it is the best so far. None is never better."""
        sign = -1.0 if config.metric == "val_loss" else 1.0
        better = value is not None and (
            self.best is None or sign * (value - self.best) > config.min_delta
        )
        self.best = value if better else self.best
        self.stale = 0 if better else self.stale + 1
        return better

    def exhausted(self, config: EarlyStoppingConfig) -> bool:
        """Whether early stopping ends the run."""
        return 0 < config.patience <= self.stale
