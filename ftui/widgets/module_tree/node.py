"""A model's modules as plain nodes in one flat list, with the plan's roll-ups over it.

Nodes stand in pre-order, so a subtree is the slice `node.index:node.end` and any roll-up is a
difference of two prefix sums: applying a plan is one pass, and only rows that are drawn cost more.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from itertools import accumulate
from operator import itemgetter
from typing import Final, Literal, NamedTuple

from engine.contract.text import plain

MIXED: Final = "mixed"
LrScale = float | Literal["mixed"] | None
"""A multiplier of the learning rate; `MIXED` where they differ, None where nothing trains."""

_clean = lru_cache(4096)(plain)  # few distinct names stand on many modules


class ModuleRow(NamedTuple):
    """One module as it comes from outside; the model itself has the path ""."""

    path: str
    type: str
    parameters: int
    """Elements of the module's own parameters, its children's left out."""
    adaptable: tuple[int, int] | None = None
    """Outputs and inputs of the layer, where a LoRA adapter fits it."""


class Adapter(NamedTuple):
    """What stands beside a layer's own weights."""

    rank: int
    dora: bool = False


NO_ADAPTER: Final = Adapter(0)


class Extra(NamedTuple):
    """What a plan does to a module besides training it."""

    adapter: Adapter = NO_ADAPTER
    beside: int = 0
    """Elements of the adapter."""
    new: bool = False
    """Whether its parameters are drawn anew."""


NOTHING_MORE: Final = Extra()


class OwnPlan(NamedTuple):
    """What the plan says of a module's own parameters."""

    trainable: int
    """How many elements train, those of an adapter included."""
    lr_scale: LrScale = 1.0
    """None where nothing trains, an adapter included."""
    extra: Extra = NOTHING_MORE


FROZEN: Final = OwnPlan(0, None)
OwnPlanOf = Callable[[int, tuple[int, int] | None], OwnPlan]
"""What becomes of a module with so many own parameters, which is adaptable or not."""


class Mark(Enum):
    """What a module's subtree does as a whole."""

    NONE = "none"
    FROZEN = "frozen"
    TRAINABLE = "trainable"
    MIXED = "mixed"


class Node:
    """One module. `name` and `type_name` are safe to show; `path` is as torch names it."""

    __slots__ = (
        *("adaptable", "children", "depth", "end", "index", "kind"),
        *("name", "own", "parent", "path", "type_name"),
    )

    def __init__(self, row: ModuleRow, name: str, parent: "Node | None") -> None:
        self.path = row.path
        self.name = _clean(name)
        self.type_name = _clean(row.type)
        self.own = row.parameters
        self.adaptable = row.adaptable
        self.parent = parent
        self.children: Sequence[Node] = ()  # shared by all leaves: less for the collector to visit
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.kind = 0
        """The same for modules of as many parameters and one shape of adapter."""
        self.index = 0
        self.end = 1


class Modules:
    """The modules of one model, root first, and what the current plan makes of them."""

    def __init__(self, rows: Sequence[ModuleRow], name: str = "model") -> None:
        """Parents must come before their children, as in torch's `named_modules`.

        `name` is what the root is called; its type and parameters come with a first row of path "".
        """
        self.by_path = _link(rows, name)
        self.root = self.by_path[""]
        self.nodes: Sequence[Node] = _pre_order(self.root)
        kinds: dict[tuple[object, ...], int] = {}
        for node in self.nodes:
            node.kind = kinds.setdefault((node.own, node.adaptable), len(kinds))
        self._paths = [node.path for node in self.nodes]
        self._total = list(accumulate((node.own for node in self.nodes), initial=0))
        self.apply({})

    def apply(self, plan: Mapping[str, OwnPlan]) -> None:
        """Take over a plan, by module path; a module that is left out is frozen."""
        found = [plan.get(path, FROZEN) for path in self._paths]
        self._trainable: list[int] = list(accumulate(map(itemgetter(0), found), initial=0))
        self._scales: list[LrScale] = list(map(itemgetter(1), found))
        self._extras: list[Extra] = list(map(itemgetter(2), found))
        self.has_extras = self._extras.count(NOTHING_MORE) < len(found)
        self._beside = (
            list(accumulate((extra.beside for extra in self._extras), initial=0))
            if self.has_extras
            else []
        )

    def ruled(self, plan: Mapping[str, OwnPlan], path: str, own: OwnPlanOf) -> dict[str, OwnPlan]:
        """`plan` after one more rule that takes `path` and all below it, and nothing else.

        The same as resolving all rules again, at the cost of the subtree alone.
        """
        node = self.by_path[path]
        below = self.nodes[node.index : node.end]
        kinds = {n.kind: n for n in below}
        found = {k: own(n.own, n.adaptable) if n.own else FROZEN for k, n in kinds.items()}
        return {**plan, **{n.path: found[n.kind] for n in below}}

    def total(self, node: Node) -> int:
        """Parameters (elements) of the module and all below it, those of adapters left out."""
        return self._total[node.end] - self._total[node.index]

    def whole(self, node: Node) -> int:
        """The same with those of adapters."""
        beside = self._beside
        return self.total(node) + (beside[node.end] - beside[node.index] if beside else 0)

    def trainable(self, node: Node) -> int:
        """Those of them that train."""
        return self._trainable[node.end] - self._trainable[node.index]

    def lr_scale(self, node: Node) -> LrScale:
        """The one multiplier of all that trains in the subtree."""
        scales = set(self._scales[node.index : node.end]) - {None}
        return MIXED if len(scales) > 1 else next(iter(scales), None)

    def adapters(self, node: Node) -> set[Adapter]:
        """Those of the layers in the subtree that can have one; empty where none can."""
        below = self.nodes[node.index : node.end]
        found = zip(below, self._extras[node.index : node.end], strict=True)
        return {extra.adapter for n, extra in found if n.adaptable}

    def new(self, node: Node) -> set[bool]:
        """Whether the weights in the subtree are drawn anew: all, none, or both."""
        below = self.nodes[node.index : node.end]
        found = zip(below, self._extras[node.index : node.end], strict=True)
        return {extra.new for n, extra in found if n.own}

    def mark(self, node: Node) -> Mark:
        """The three-state mark, or none for a module without parameters."""
        whole, trainable = self.whole(node), self.trainable(node)
        if not whole:
            return Mark.NONE
        if not trainable:
            return Mark.FROZEN
        return Mark.TRAINABLE if trainable == whole else Mark.MIXED


def _link(rows: Sequence[ModuleRow], name: str) -> dict[str, Node]:
    first, *others = rows or [ModuleRow("", "", 0)]
    if first.path:
        first, others = ModuleRow("", "", 0), [first, *others]
    nodes = {"": Node(first, name, None)}
    children: dict[str, list[Node]] = {}
    for row in others:
        above = row.path.rpartition(".")[0]
        while above not in nodes:  # torch leaves out a shared module's second path
            above = above.rpartition(".")[0]
        node = Node(row, row.path[len(above) :].removeprefix("."), nodes[above])
        children.setdefault(above, []).append(node)
        nodes[row.path] = node
    for path, below in children.items():
        nodes[path].children = below
    return nodes


def _pre_order(root: Node) -> list[Node]:
    nodes: list[Node] = []
    stack = [root]
    while stack:
        node = stack.pop()
        node.index = len(nodes)
        nodes.append(node)
        stack.extend(reversed(node.children))
    for node in reversed(nodes):
        node.end = node.children[-1].end if node.children else node.index + 1
    return nodes
