"""From the engine's words, a model and its resolved plan, to the tree's."""

from collections.abc import Iterable, Mapping

from engine.contract.plan import Assignment
from engine.contract.tree import ModelInfo
from ftui.widgets.module_tree.node import MIXED, LrScale, ModuleRow, OwnPlan


def rows_of(model: ModelInfo) -> list[ModuleRow]:
    """The rows for `ModuleTree.set_model`, the model itself first."""
    root = ModuleRow("", "", sum(model.root_own.values()))
    return [root, *(ModuleRow(m.path, m.type, sum(m.own.values())) for m in model.modules)]


def own_plan(plan: Mapping[str, Assignment], model: ModelInfo) -> dict[str, OwnPlan]:
    """What a resolved plan says of each module's own parameters, for `apply_plan`."""
    owns = {"": _own(model.root_own, "", plan)}
    return owns | {m.path: _own(m.own, f"{m.path}.", plan) for m in model.modules}


def _own(sizes: Mapping[str, int], prefix: str, plan: Mapping[str, Assignment]) -> OwnPlan:
    trained = {name: plan[prefix + name].lr_scale for name in sizes if plan[prefix + name].train}
    return OwnPlan(sum(sizes[name] for name in trained), _common(trained.values()))


def _common(scales: Iterable[float]) -> LrScale:
    distinct = set(scales)
    return MIXED if len(distinct) > 1 else next(iter(distinct), None)
