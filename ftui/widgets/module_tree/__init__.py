"""The tree of a model's modules: what trains, what is frozen, and at which learning rate."""

from ftui.widgets.module_tree.node import MIXED, LrScale, Mark, ModuleRow, Modules, Node, OwnPlan
from ftui.widgets.module_tree.pane import ModulePane
from ftui.widgets.module_tree.tree import ModuleTree
from ftui.widgets.module_tree.words import totals_text

__all__ = [
    "MIXED",
    "LrScale",
    "Mark",
    "ModulePane",
    "ModuleRow",
    "ModuleTree",
    "Modules",
    "Node",
    "OwnPlan",
    "totals_text",
]
