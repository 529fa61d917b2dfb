"""Which modules are visible as rows: a flat list that expand and collapse splice."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from ftui.widgets.module_tree.node import Node


def _index(node: Node) -> int:
    return node.index


class VisibleRows:
    """The rows of a tree, top to bottom, under its open nodes and its filter."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.rows: list[Node] = []
        self._nodes = nodes
        self._open = bytearray(len(nodes))
        self._unfiltered_open = self._open
        self._shown: bytearray | None = None
        self.matches: Sequence[Node] = ()
        self._matching: set[int] = set()
        self.collapse_all()

    def is_open(self, node: Node) -> bool:
        return bool(self._open[node.index])

    def is_match(self, node: Node) -> bool:
        return node.index in self._matching

    def is_leaf(self, node: Node) -> bool:
        """Whether the node has nothing to open, its children hidden by the filter included."""
        shown = self._shown
        return not (any(shown[c.index] for c in node.children) if shown else node.children)

    def row_of(self, node: Node) -> int:
        """The node's row, or the nearest visible ancestor's; -1 where there are no rows."""
        at = bisect_right(self.rows, node.index, key=_index) - 1
        return at if at >= 0 else min(0, len(self.rows) - 1)

    def expand(self, row: int) -> None:
        node = self.rows[row]
        self._open[node.index] = 1
        self.rows[row + 1 : row + 1] = self._below(node)

    def collapse(self, row: int) -> None:
        node = self.rows[row]
        self._open[node.index] = 0
        del self.rows[row + 1 : bisect_left(self.rows, node.end, lo=row, key=_index)]

    def expand_all(self) -> None:
        self._open[:] = b"\1" * len(self._nodes)
        self._rebuild()

    def collapse_all(self) -> None:
        """Close everything but the root: one lonely row tells nobody anything."""
        self._open[:] = bytes(len(self._nodes))
        self._open[:1] = b"\1"
        self._rebuild()

    def reveal(self, node: Node) -> int:
        """Open what hides the node, and return its row."""
        above = node.parent
        while above is not None:
            self._open[above.index] = 1
            above = above.parent
        self._rebuild()
        return self.row_of(node)

    def narrow(self, matches: Sequence[Node]) -> None:
        """Show only these nodes (in pre-order) and their ancestors, all open."""
        if self._shown is None:
            self._unfiltered_open = self._open
        self.matches = matches
        self._matching = {node.index for node in matches}
        self._shown = _with_ancestors(matches, len(self._nodes))
        self._open = bytearray(self._shown)
        self._rebuild()

    def widen(self) -> None:
        """Drop the filter: what was open before it is open again."""
        self.matches, self._matching, self._shown = (), set(), None
        self._open = self._unfiltered_open
        self._rebuild()

    def _rebuild(self) -> None:
        root = self._nodes[0]
        shown = self._shown is None or self._shown[0]
        self.rows = [root, *self._below(root)] if shown else []

    def _below(self, node: Node) -> list[Node]:
        if not self._open[node.index]:
            return []
        nodes, is_open, shown = self._nodes, self._open, self._shown
        below, at = [], node.index + 1
        while at < node.end:
            visible = shown is None or shown[at]
            if visible:
                below.append(nodes[at])
            at = at + 1 if visible and is_open[at] else nodes[at].end
        return below


def _with_ancestors(nodes: Iterable[Node], size: int) -> bytearray:
    shown = bytearray(size)
    for node in nodes:
        above: Node | None = node
        while above is not None and not shown[above.index]:
            shown[above.index] = 1
            above = above.parent
    return shown
