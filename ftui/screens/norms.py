"""Relative gradient norms, block by block: what Auto-RGN makes its multipliers of."""

import textwrap
from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from engine.contract.commands import AutoRGN
from engine.contract.text import plain
from ftui.bars import bar_text
from ftui.format import number
from ftui.screens.sheet import FollowingSheet
from ftui.widgets.lines import Line
from ftui.workspace import Workspace

_FIGURE = 9
_LONGEST_NAME = 30
_WHAT = (
    "|gradient| / |weight| of each block: the larger, the more it would change. Auto-RGN (Lee et "
    "al., 2022: surgical fine-tuning) measures it on the training data, and makes learning-rate "
    "multipliers of it. Everything trains from then on, what is frozen now included."
)


class NormsScreen(FollowingSheet):
    """Bars that follow the run; `a` has its worker measure them and take them over."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "a",
            "measure",
            "Measure",
            id="norms.measure",
            tooltip="Measure and take over; everything trains then",
        ),
        Binding(
            "escape,q,A,enter,ctrl+g", "dismiss", "Close", id="norms.close", tooltip="Close this"
        ),
    ]

    def __init__(self, workspace: Workspace, measure: Callable[[], None], ascii_only: bool) -> None:
        super().__init__("Relative gradient norms")
        self._workspace = workspace
        self._measure = measure
        self._ascii = ascii_only

    def _show(self) -> None:
        live = self._workspace.live
        keys = "a measures, and trains everything by it  escape closes" if live else "escape closes"
        self.query_one(Vertical).border_subtitle = keys
        state = self._workspace.state
        norms = state.norms if state else {}
        lines = [
            Content.styled(line, ".muted")
            for line in textwrap.wrap(_WHAT, max(20, self._lines.room))
        ]
        waits = any(isinstance(c, AutoRGN) for c in self._workspace.pending.values())
        if waits:
            lines += [Content(""), Content.styled("The worker is asked to measure ...", ".warn")]
        elif not norms:
            lines += [Content(""), Content("Nothing was measured in this run.")]
        self._lines.show([*lines, Content(""), *bars(norms, self._lines.room, self._ascii)])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._workspace.live if action == "measure" else True

    def action_measure(self) -> None:
        self._measure()
        self._show()


def bars(norms: dict[str, float], room: int, ascii_only: bool = False) -> list[Line]:
    """A line a block, its bar a share of the largest norm."""
    if not norms:
        return []
    most = max(norms.values())
    width = min(_LONGEST_NAME, max(len(plain(path)) for path in norms))
    length = max(4, room - width - _FIGURE - 1)
    lines: list[Line] = []
    for path, norm in norms.items():
        full, empty = bar_text(norm / most if most else 0.0, length, ascii_only)
        name = plain(path, width).ljust(width)
        figure = number(norm).rjust(_FIGURE)
        lines.append(Content.assemble(f"{name} ", (full, ".accent"), (empty, ".muted"), figure))
    return lines
