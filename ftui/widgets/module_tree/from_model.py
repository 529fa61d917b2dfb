"""From the engine's words, a model and its plans, to the tree's."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import dropwhile

from engine.contract import adapters
from engine.contract.plan import Assignment, literal, resolve, with_rules
from engine.contract.rules import Rule
from engine.contract.tree import ModelInfo
from ftui.widgets.module_tree.node import (
    FROZEN,
    MIXED,
    NOTHING_MORE,
    Adapter,
    Extra,
    ModuleRow,
    Modules,
    OwnPlan,
)

Shape = tuple[int, int]
"""Outputs and inputs of a layer."""
_ESCAPED = re.compile(r"\[([*?[])\]")
_KNOWN_PLANS = 2
"""That in force, and that which a worker was asked for."""


def rows_of(model: ModelInfo) -> list[ModuleRow]:
    """The rows for `ModuleTree.set_model`, the model itself first."""
    root = ModuleRow("", "", sum(model.root_own.values()))
    modules = model.modules
    return [root, *(ModuleRow(m.path, m.type, sum(m.own.values()), m.adaptable) for m in modules)]


def own_plan(plan: Mapping[str, Assignment], model: ModelInfo) -> dict[str, OwnPlan]:
    """What a resolved plan says of each module's own parameters, for `apply_plan`."""
    owns = {"": _own(model.root_own, "", plan, None)}
    return owns | {m.path: _own(m.own, f"{m.path}.", plan, m.adaptable) for m in model.modules}


def module_of(pattern: str, modules: Modules) -> str | None:
    """The path of the module that a pattern takes whole, and nothing else; None for other ones."""
    path = "" if pattern == "*" else _ESCAPED.sub(r"\1", pattern)
    return path if path in modules.by_path and (literal(path) or "*") == pattern else None


class PlanReader:
    """What each of a model's plans says, one after another.

    A plan that is a few edits of modules away from one just read costs their subtrees, not the
    model: on 20,000 modules the answer to a key would else be late.
    """

    def __init__(self, model: ModelInfo, modules: Modules) -> None:
        self._model = model
        self._modules = modules
        self._known: list[tuple[Sequence[Rule], dict[str, OwnPlan]]] = []

    def read(self, rules: Sequence[Rule]) -> dict[str, OwnPlan]:
        """For `apply_plan`. Raises `UserError` where a rule matches nothing."""
        plan = self._remembered(rules)
        if plan is None:
            plan = own_plan(resolve(rules, self._model), self._model)
        self._known = [(list(rules), plan), *self._known[: _KNOWN_PLANS - 1]]
        return plan

    def _remembered(self, rules: Sequence[Rule]) -> dict[str, OwnPlan] | None:
        for known, plan in self._known:
            if known == rules:
                return plan
            after = self._after(known, plan, rules)
            if after is not None:
                return after
        return None

    def _after(
        self, known: Sequence[Rule], plan: dict[str, OwnPlan], rules: Sequence[Rule]
    ) -> dict[str, OwnPlan] | None:
        """What `rules` say, where they are `known` ones with rules for whole modules on top."""
        unread = iter(known)
        added = list(dropwhile(lambda rule: rule in unread, rules))  # what is before stayed
        paths = [module_of(rule.match, self._modules) for rule in added]
        if None in paths or with_rules(known, added) != rules:
            return None
        for path, rule in zip(paths, added, strict=True):
            assert path is not None
            plan = self._modules.ruled(plan, path, partial(_own_under, rule))
        return plan


def _own_under(rule: Rule, size: int, shape: Shape | None) -> OwnPlan:
    """What a rule that takes all of a module makes of it."""
    if rule.lora:
        return _adapted(FROZEN, Adapter(rule.lora, rule.dora), rule.lr_scale, shape)
    extra = Extra(new=True) if rule.reinit else NOTHING_MORE
    return OwnPlan(size, rule.lr_scale, extra) if rule.train else FROZEN._replace(extra=extra)


def _own(
    sizes: Mapping[str, int], prefix: str, plan: Mapping[str, Assignment], shape: Shape | None
) -> OwnPlan:
    says = [(size, plan[prefix + name]) for name, size in sizes.items()]
    scales = {assignment.lr_scale for _, assignment in says if assignment.train}
    own = OwnPlan(
        sum(size for size, assignment in says if assignment.train),
        MIXED if len(scales) > 1 else next(iter(scales), None),
        Extra(new=True) if any(assignment.reinit for _, assignment in says) else NOTHING_MORE,
    )
    weight = plan.get(f"{prefix}weight")
    if weight is None or not weight.lora:
        return own
    return _adapted(own, Adapter(weight.lora, weight.dora), weight.lr_scale, shape)


def _adapted(own: OwnPlan, adapter: Adapter, scale: float, shape: Shape | None) -> OwnPlan:
    """A module with an adapter beside its own parameters, where one fits."""
    if shape is None:
        return own
    beside = adapters.size(shape, adapter.rank, adapter.dora)
    return OwnPlan(
        own.trainable + beside,
        scale if own.lr_scale in (None, scale) else MIXED,
        Extra(adapter, beside, own.extra.new),
    )
