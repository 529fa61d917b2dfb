"""The freeze plan: ordered rules, the last match wins. Pure functions over a model's tree.

The worker and the app both resolve plans here, so what the tree shows is what trains.
"""

import fnmatch
import glob
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from engine.contract.config import Rule
from engine.contract.errors import UserError
from engine.contract.text import did_you_mean, plain
from engine.contract.tree import ModelInfo, blocks, parameter_sizes

FREEZE_ALL = Rule(match="*", train=False)
TRAIN_ALL = Rule(match="*", train=True)
_WILD = set("*?[")


class Assignment(Struct, frozen=True):
    """What the plan says of one parameter."""

    train: bool
    lr_scale: float = 1.0


def head_only(model: ModelInfo) -> list[Rule]:
    """The default plan, a linear probe: everything frozen but the head."""
    return [FREEZE_ALL, *(Rule(match=literal(path)) for path in model.head)]


def last_block(model: ModelInfo) -> list[Rule]:
    """The head and the last top-level block before it that holds parameters."""
    head_roots = {path.partition(".")[0] for path in model.head}
    body = [path for path in blocks(model) if path not in head_roots]
    return [*head_only(model), *(Rule(match=literal(path)) for path in body[-1:])]


def norms_and_biases(model: ModelInfo) -> list[Rule]:
    """The head, every normalisation layer and every bias; VGG, for one, has no such layer."""
    rules = [Rule(match="type:*Norm*"), Rule(match="*.bias")]
    return [*head_only(model), *(rule for rule in rules if matching(rule.match, model))]


PRESETS: dict[str, Callable[[ModelInfo], list[Rule]]] = {
    "head": head_only,
    "last block": last_block,
    "norms and biases": norms_and_biases,
    "all": lambda _model: [TRAIN_ALL],
}
"""Named plans: a label to a function from the model to its rules."""


def effective(rules: Sequence[Rule], model: ModelInfo) -> list[Rule]:
    """The rules in force: `rules`, or the head only where there are none."""
    return list(rules) or head_only(model)


def literal(path: str) -> str:
    """A pattern that matches `path` and nothing else."""
    return glob.escape(path)


def matching(pattern: str, model: ModelInfo) -> set[str]:
    """Names of the parameters that a rule's pattern takes."""
    return set(_matching(pattern, model, parameter_sizes(model)))


def resolve(rules: Iterable[Rule], model: ModelInfo) -> dict[str, Assignment]:
    """What each parameter does under `rules`; one that no rule matches is frozen.

    Raises `UserError` where a rule matches nothing, naming the nearest paths.
    """
    names = parameter_sizes(model)
    plan = dict.fromkeys(names, Assignment(train=False))
    for rule in rules:
        matched = _matching(rule.match, model, names)
        if not matched:
            raise UserError(_matches_nothing(rule.match, model))
        plan |= dict.fromkeys(matched, Assignment(rule.train, rule.lr_scale))
    return plan


def _matching(pattern: str, model: ModelInfo, names: Collection[str]) -> Collection[str]:
    """Those of the model's parameter `names` that a pattern takes.

    A star and a plain path, which is what presets and the app write, need no regular expression: a
    tree of 20,000 modules resolves while a key is still on its way up.
    """
    if pattern == "*":
        return names
    if pattern.startswith("type:"):
        of_type = _glob(pattern.removeprefix("type:"))
        roots = {m.path for m in model.modules if of_type.fullmatch(m.type)}
        return [name for name in names if not roots.isdisjoint(_ancestors(name))]
    if not _WILD & set(pattern):
        below = f"{pattern}."
        return [name for name in names if name.startswith(below) or name == pattern]
    path_or_below = _glob(pattern)
    return [name for name in names if path_or_below.match(name)]


def trainable_parameters(plan: Mapping[str, Assignment], model: ModelInfo) -> int:
    """How many parameters (elements, not tensors) the plan trains."""
    return sum(size for name, size in parameter_sizes(model).items() if plan[name].train)


def with_rule(rules: Sequence[Rule], rule: Rule) -> list[Rule]:
    """`rules` with `rule` last; earlier rules that it makes dead are dropped."""
    return [*(r for r in rules if not _covers(rule.match, r.match)), rule]


def _covers(outer: str, inner: str) -> bool:
    """Whether a path pattern takes at least all that `inner` takes; false where unsure."""
    if outer == inner or outer == "*":
        return True
    wild = _WILD & (set(outer) | set(inner))
    return not wild and ":" not in outer + inner and inner.startswith(f"{outer}.")


def _glob(pattern: str) -> re.Pattern[str]:
    """Compiled so that `match` takes the path itself and all below it."""
    return re.compile(f"(?:{fnmatch.translate(pattern)[:-2]})(?:\\..*)?$")


def _ancestors(name: str) -> Iterable[str]:
    while name:
        name = name.rpartition(".")[0]
        yield name


def _matches_nothing(pattern: str, model: ModelInfo) -> str:
    if pattern.startswith("type:"):
        valid: Iterable[str] = {f"type:{module.type}" for module in model.modules}
    else:
        valid = [module.path for module in model.modules] + list(parameter_sizes(model))
    hint = did_you_mean(pattern, valid, count=3)
    tops = "" if hint else f"; its top-level modules are {', '.join(map(plain, blocks(model)))}."
    return f'trainable: "{plain(pattern)}" matches no parameter of {plain(model.name)}{hint}{tops}'
