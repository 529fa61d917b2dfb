"""The freeze plan: ordered rules, the last match wins. Pure functions over a model's tree.

The worker and the app both resolve plans here, so what the tree shows is what trains.
"""

import glob
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from engine.contract import adapters
from engine.contract.errors import UserError
from engine.contract.match import WILD, Matcher
from engine.contract.rules import Rule
from engine.contract.text import plain
from engine.contract.tree import ModelInfo, parameter_sizes

FREEZE_ALL = Rule(match="*", train=False)
TRAIN_ALL = Rule(match="*", train=True)


class Assignment(Struct, frozen=True):
    """What the plan says of one parameter."""

    train: bool
    """Whether the parameter itself trains; one that has an adapter does not."""
    lr_scale: float = 1.0
    weight_decay: float | None = None
    """None: the optimizer's, where the parameter is one that decays."""
    reinit: bool = False
    lora: int = 0
    """Rank of the adapter on this weight, which trains; 0: it has none."""
    dora: bool = False


def head_only(model: ModelInfo) -> list[Rule]:
    """The default plan, a linear probe: everything frozen but the head."""
    return [FREEZE_ALL, *(Rule(match=literal(path)) for path in model.head)]


def effective(rules: Sequence[Rule], model: ModelInfo) -> list[Rule]:
    """The rules in force: `rules`, or the head only where there are none."""
    return list(rules) or head_only(model)


def literal(path: str) -> str:
    """A pattern that matches `path` and nothing else."""
    return glob.escape(path)


def resolve(rules: Iterable[Rule], model: ModelInfo) -> dict[str, Assignment]:
    """What each parameter does under `rules`; one that no rule matches is frozen.

    Raises `UserError` where a rule matches nothing, naming the nearest paths, or makes no sense.
    """
    matcher, fitting = Matcher(model), adapters.adaptable(model)
    plan = dict.fromkeys(matcher.names, Assignment(train=False))
    for rule in rules:
        taken = matcher.take(rule.match)
        adapters.check(rule, taken, model)
        own = rule.train and not rule.lora
        says = Assignment(own, rule.lr_scale, rule.weight_decay, rule.reinit)
        plan |= dict.fromkeys(taken, says)
        if rule.lora:
            says = replace(says, lora=rule.lora, dora=rule.dora)
            plan |= dict.fromkeys((name for name in taken if name in fitting), says)
    return plan


def trainable_parameters(plan: Mapping[str, Assignment], model: ModelInfo) -> int:
    """How many parameters (elements, not tensors) the plan trains, those of adapters included."""
    own = sum(size for name, size in parameter_sizes(model).items() if plan[name].train)
    beside = (
        adapters.size(shape, plan[name].lora, plan[name].dora)
        for name, shape in adapters.adaptable(model).items()
        if plan[name].lora
    )
    return own + sum(beside)


def begins_anew(own: Sequence[str], plan: Mapping[str, Assignment]) -> bool:
    """Whether a plan re-initialises the module that has these parameters of its own.

    Raises `UserError` where it asks that of some of them only.
    """
    asked = [name for name in own if plan[name].reinit]
    if asked and len(asked) < len(own):
        rest = ", ".join(plain(name) for name in own if name not in asked)
        raise UserError(
            f"trainable: {plain(asked[0])} can't be re-initialised without {rest}: a rule with "
            "reinit must match all parameters of a module."
        )
    return bool(asked)


def with_rule(rules: Sequence[Rule], rule: Rule) -> list[Rule]:
    """`rules` with `rule` last; earlier rules that it makes dead are dropped."""
    return [*(r for r in rules if not covers(rule.match, r.match)), rule]


def with_rules(rules: Sequence[Rule], more: Iterable[Rule]) -> list[Rule]:
    """`rules` with `more` last, in their order."""
    joined = list(rules)
    for rule in more:
        joined = with_rule(joined, rule)
    return joined


def covers(outer: str, inner: str) -> bool:
    """Whether a path pattern takes at least all that `inner` takes; false where unsure."""
    if outer == inner or outer == "*":
        return True
    wild = WILD & (set(outer) | set(inner))
    return not wild and ":" not in outer + inner and inner.startswith(f"{outer}.")
