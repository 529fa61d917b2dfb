"""Which modules the keys act on: that under the cursor, or more that were selected."""

from collections.abc import Iterable

from ftui.widgets.module_tree.node import Node
from ftui.widgets.module_tree.rows import VisibleRows


class Selection:
    """Modules that were tagged one by one, and the rows from an anchor to the cursor."""

    def __init__(self) -> None:
        self.tagged: set[Node] = set()
        self.anchor: Node | None = None
        """Where the range began; None while there is none."""

    @property
    def is_empty(self) -> bool:
        return not self.tagged and self.anchor is None

    def nodes(self, rows: VisibleRows, cursor: int) -> set[Node]:
        """All that is selected; of a range the rows that are visible now."""
        if self.anchor is None:
            return set(self.tagged)
        first, last = sorted((rows.row_of(self.anchor), cursor))
        return self.tagged | set(rows.rows[first : last + 1])


def outermost(nodes: Iterable[Node]) -> list[Node]:
    """`nodes` in the order of the tree, without those that lie in another of them."""
    found: list[Node] = []
    for node in sorted(nodes, key=lambda node: node.index):
        if not found or node.index >= found[-1].end:
            found.append(node)
    return found
