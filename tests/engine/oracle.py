"""What should be in force in a run, worked out once more from its config and its commands alone.

It shares no code with the engine: rules are kept as they came and asked one by one, patterns are
read another way, the schedule is written anew.
"""

import fnmatch
import math
import re
from copy import copy
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import NamedTuple

from torch import nn

from engine.contract import commands as c
from engine.contract.config import Config
from engine.contract.rules import Rule, Stage
from tests.engine.networks import Network, above

Position = tuple[int, int, int]
"""Steps done, the epoch under way or about to begin, and stages begun."""


class Given(NamedTuple):
    """A command that was acknowledged, and where."""

    position: Position
    command: c.Steering

    @property
    def decides(self) -> str:
        """Of two commands that decide the same, the newer one counts."""
        match self.command:
            case c.SetLearningRate():
                return "rate"
            case c.SetOption(key=key):
                return key
            case c.SetStages():
                return "stages"
        return "plan"


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A module as the rules see it."""

    network: Network
    module: nn.Module
    """Never trained: only names, types and shapes are read."""

    @cached_property
    def names(self) -> list[str]:
        return [name for name, _ in self.module.named_parameters()]

    @cached_property
    def decaying(self) -> set[str]:
        """Weights of layers, and the ViT's positions, which are a matrix."""
        return {name for name, x in self.module.named_parameters() if x.squeeze().ndim > 1}

    @cache  # noqa: B019 (as many as there are patterns, for as long as the tests run)
    def taken(self, pattern: str) -> frozenset[str]:
        """Names of the parameters that a rule's pattern matches."""
        return frozenset(name for name in self.names if self._takes(pattern, name))

    @cache  # noqa: B019
    def decisive(self, rules: tuple[Rule, ...]) -> dict[str, Rule | None]:
        """By name, the last rule that matches a parameter."""
        newest_first = rules[::-1]
        return {
            name: next((x for x in newest_first if name in self.taken(x.match)), None)
            for name in self.names
        }

    @cache  # noqa: B019
    def trainable(self, rules: tuple[Rule, ...]) -> frozenset[str]:
        """Names of the parameters that train under a plan."""
        decisive = self.decisive(rules).items()
        return frozenset(name for name, rule in decisive if rule and rule.train)

    @cache  # noqa: B019
    def below(self, path: str) -> frozenset[str]:
        """Names of the parameters of the module at `path`, its children's included."""
        return frozenset(name for name in self.names if not path or path in above(name))

    def _takes(self, pattern: str, name: str) -> bool:
        paths = above(name)
        kind, _, rest = pattern.partition(":")
        if pattern in self.network.last:
            return name.startswith(tuple(self.network.last[pattern]))
        if kind == "re":
            return any(re.fullmatch(rest, path) for path in paths)
        if kind == "type":
            types = (type(self.module.get_submodule(path)).__name__ for path in paths[:-1])
            return any(fnmatch.fnmatchcase(found, rest) for found in types)
        return any(fnmatch.fnmatchcase(path, pattern) for path in paths)


@dataclass
class Expected:
    """The state of a run that commands and stages decide."""

    anatomy: Anatomy
    config: Config
    steps_per_epoch: int
    rules: tuple[Rule, ...] = field(init=False)
    lr: float = field(init=False)
    stages: list[Stage] = field(init=False)
    options: dict[str, str] = field(default_factory=dict)
    step: int = 0
    applied: frozenset[str] = frozenset()
    """Ids of the commands that have taken effect, and of those that were given up."""
    given_up: frozenset[str] = frozenset()
    stage_began: Position = (0, 1, 0)
    stage_best: float = math.inf
    stage_stale: int = 0

    def __post_init__(self) -> None:
        self.rules, self.stages = tuple(self.config.trainable), list(self.config.stages)
        self.lr = self.config.optimizer.lr

    def copy(self) -> "Expected":
        """As it is now; what it holds is never changed, only replaced."""
        return copy(self)

    def apply(self, command: c.Steering, position: Position) -> None:
        """Take in a command that is not to be refused, and where it is obeyed."""
        self.applied = self.applied | {command.id}
        match command:
            case c.SetLearningRate(lr=lr):
                self.lr = lr
            case c.SetOption(key=key, value=value):
                self.options = {**self.options, key: value}
            case c.SetStages(stages=stages):
                self.stages = list(stages)
                self._count_stages_from(position)
            case _:
                self.rules = self._with(command)

    def give_up(self, command: c.Steering) -> None:
        """Take in that a command could not be repeated."""
        self.applied = self.applied | {command.id}
        self.given_up = self.given_up | {command.id}

    def refuses(self, command: c.Steering, epoch: int) -> bool:
        """Whether it can't be obeyed, in or before `epoch`."""
        match command:
            case c.SetLearningRate(lr=lr):
                return not 0 < lr <= 1000
            case c.SetOption(key=key, value=value):
                return float(value) < (epoch if key == "training.epochs" else 0)
            case c.SetStages(stages=stages):
                added = [rule for stage in stages for rule in stage.trainable]
                return not all(self.anatomy.taken(rule.match) for rule in added)
            case _:
                return not self._works(self._with(command))

    def is_due(self, position: Position, between_epochs: bool) -> bool:
        """Whether a stage must begin before anything else happens."""
        return bool(self.stages) and self._due(self.stages[0].after, position, between_epochs)

    def begin_stage(self, position: Position) -> str:
        """Begin the next one; when it was due."""
        stage, *self.stages = self.stages
        self._count_stages_from(position)
        if self._works((*self.rules, *stage.trainable)):
            self.rules = (*self.rules, *stage.trainable)
        return stage.after

    def judge(self, val_loss: float) -> None:
        """Take in the evaluation of an epoch."""
        better = val_loss < self.stage_best
        self.stage_best = min(val_loss, self.stage_best)
        self.stage_stale = 0 if better else self.stage_stale + 1

    @property
    def base_rate(self) -> float:
        """Of the next step: base x schedule."""
        asked, done = self.config.schedule, self.step
        warming, total = asked.warmup_steps, self.epochs * self.steps_per_epoch
        if done < warming:
            return self.lr * (done + 1) / warming
        if asked.name == "constant":
            return self.lr
        turned = math.pi * min(1, (done - warming) / max(1, total - warming))
        fallen = (1 - math.cos(turned)) / 2
        return self.lr * (1 - (1 - asked.end_factor) * fallen)

    @property
    def epochs(self) -> int:
        return int(self.options.get("training.epochs", self.config.training.epochs))

    @property
    def strength(self) -> float:
        """Of augmentation."""
        asked = self.config.data.augment_strength
        return float(self.options.get("data.augment_strength", asked))

    @property
    def trainable(self) -> frozenset[str]:
        return self.anatomy.trainable(self.rules)

    def multiplier(self, name: str) -> float:
        """Of the rate of a parameter."""
        rule = self.anatomy.decisive(self.rules)[name]
        return rule.lr_scale if rule else 1.0

    def decay(self, name: str) -> float:
        """The weight decay of a parameter."""
        rule = self.anatomy.decisive(self.rules)[name]
        if rule and rule.weight_decay is not None:
            return rule.weight_decay
        pulled = self.config.regularisation.l2_sp > 0 and not name.startswith("head.")
        if pulled or name not in self.anatomy.decaying:
            return 0.0
        asked = self.config.optimizer.weight_decay
        return float(self.options.get("optimizer.weight_decay", asked))

    def learns(self, path: str) -> bool:
        """Whether the module at `path` is in training mode: of a norm, whether it takes statistics.

        A module goes by its own parameters, one without any by those of what is above it; where it
        has statistics all the same, all of these must train.
        """
        own, around, holder = self.anatomy.below(path), frozenset[str](), path
        while not around:
            around, holder = self.anatomy.below(holder), holder.rpartition(".")[0]
        module = self.anatomy.module.get_submodule(path)
        if not own and list(module.buffers(recurse=False)):
            return around <= self.trainable
        return bool(around & self.trainable)

    def _count_stages_from(self, position: Position) -> None:
        self.stage_began, self.stage_best, self.stage_stale = position, math.inf, 0

    def _with(self, command: c.Steering) -> tuple[Rule, ...]:
        match command:
            case c.Freeze(pattern=pattern):
                return (*self.rules, Rule(pattern, train=False))
            case c.Thaw(pattern=pattern, lr_scale=lr_scale):
                return (*self.rules, Rule(pattern, lr_scale=lr_scale))
            case c.SetPlan(rules=rules):
                return tuple(rules)
        raise AssertionError(command)

    def _works(self, rules: tuple[Rule, ...]) -> bool:
        known = all(self.anatomy.taken(rule.match) for rule in rules)
        return known and bool(self.anatomy.trainable(rules))

    def _due(self, after: str, position: Position, between_epochs: bool) -> bool:
        step, epoch, _ = position
        if after.startswith("stalled"):
            return self.stage_stale >= int(after.split()[1])
        count = int(after.split()[0])
        if "epoch" in after:
            return between_epochs and epoch - self.stage_began[1] >= count
        return step - self.stage_began[0] >= count
