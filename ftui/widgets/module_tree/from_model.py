"""From the engine's words, a model and its resolved plan, to the tree's."""

from collections.abc import Mapping

from engine.contract.plan import Assignment
from engine.contract.tree import ModelInfo
from ftui.widgets.module_tree.node import FROZEN, MIXED, ModuleRow, OwnPlan


def rows_of(model: ModelInfo) -> list[ModuleRow]:
    """The rows for `ModuleTree.set_model`, the model itself first."""
    root = ModuleRow("", "", sum(model.root_own.values()))
    return [root, *(ModuleRow(m.path, m.type, sum(m.own.values())) for m in model.modules)]


def own_plan(plan: Mapping[str, Assignment], model: ModelInfo) -> dict[str, OwnPlan]:
    """What a resolved plan says of each module's own parameters, for `apply_plan`."""
    owns = {"": _own(model.root_own, "", plan)}
    return owns | {m.path: _own(m.own, f"{m.path}.", plan) for m in model.modules}


def _own(sizes: Mapping[str, int], prefix: str, plan: Mapping[str, Assignment]) -> OwnPlan:
    says = [(size, plan[prefix + name]) for name, size in sizes.items()]
    trained = [(size, assignment.lr_scale) for size, assignment in says if assignment.train]
    if not trained:
        return FROZEN
    scales = {scale for _, scale in trained}
    return OwnPlan(sum(size for size, _ in trained), scales.pop() if len(scales) == 1 else MIXED)
