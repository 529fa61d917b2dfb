"""From the engine's words, a model and its plans, to the tree's."""

import re
from collections.abc import Mapping, Sequence

from engine.contract.plan import Assignment, literal, resolve, with_rule
from engine.contract.rules import Rule
from engine.contract.tree import ModelInfo
from ftui.widgets.module_tree.node import FROZEN, MIXED, ModuleRow, Modules, OwnPlan

_ESCAPED = re.compile(r"\[([*?[])\]")
_KNOWN_PLANS = 2
"""That in force, and that which a worker was asked for."""


def rows_of(model: ModelInfo) -> list[ModuleRow]:
    """The rows for `ModuleTree.set_model`, the model itself first."""
    root = ModuleRow("", "", sum(model.root_own.values()))
    return [root, *(ModuleRow(m.path, m.type, sum(m.own.values())) for m in model.modules)]


def own_plan(plan: Mapping[str, Assignment], model: ModelInfo) -> dict[str, OwnPlan]:
    """What a resolved plan says of each module's own parameters, for `apply_plan`."""
    owns = {"": _own(model.root_own, "", plan)}
    return owns | {m.path: _own(m.own, f"{m.path}.", plan) for m in model.modules}


def module_of(pattern: str, modules: Modules) -> str | None:
    """The path of the module that a pattern takes whole, and nothing else; None for other ones."""
    path = "" if pattern == "*" else _ESCAPED.sub(r"\1", pattern)
    return path if path in modules.by_path and (literal(path) or "*") == pattern else None


class PlanReader:
    """What each of a model's plans says, one after another.

    A plan that is one toggle away from one just read costs the toggled subtree, not the model: on
    20,000 modules the answer to a key would else be late.
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
        path = module_of(rules[-1].match, self._modules) if rules else None
        for known, plan in self._known:
            if known == rules:
                return plan
            if path is not None and with_rule(known, rules[-1]) == rules:
                return self._modules.toggled(plan, path, rules[-1].train, rules[-1].lr_scale)
        return None


def _own(sizes: Mapping[str, int], prefix: str, plan: Mapping[str, Assignment]) -> OwnPlan:
    says = [(size, plan[prefix + name]) for name, size in sizes.items()]
    trained = [(size, assignment.lr_scale) for size, assignment in says if assignment.train]
    if not trained:
        return FROZEN
    scales = {scale for _, scale in trained}
    return OwnPlan(sum(size for size, _ in trained), scales.pop() if len(scales) == 1 else MIXED)
