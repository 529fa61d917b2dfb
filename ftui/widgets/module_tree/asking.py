"""What the tree's keys ask of a plan, for all modules that they act on at once."""

import math
from collections.abc import Collection, Iterable
from typing import Literal

from textual.message import Message
from textual.scroll_view import ScrollView

from engine.contract.edits import (
    HIGHEST_RANK,
    HIGHEST_SCALE,
    Adapt,
    Edit,
    Multiply,
    Reinitialise,
    SetScale,
    Train,
)
from engine.contract.errors import UserError
from engine.contract.methods import ADAPTER_RANK
from ftui.widgets.module_tree.node import (
    MIXED,
    NO_ADAPTER,
    Adapter,
    LrScale,
    Mark,
    Modules,
    Node,
)
from ftui.widgets.module_tree.words import called

Value = Literal["scale", "rank"]
"""What can be typed in a row."""


class Asking(ScrollView):
    """The keys that edit a plan. Nothing is changed here: it asks, by `EditRequested`."""

    modules: Modules

    class EditRequested(Message):
        """A person asked for a change of modules, each with all below it."""

        def __init__(self, edit: Edit, nodes: Iterable[Node]) -> None:
            super().__init__()
            self.edit = edit
            self.paths = [node.path for node in nodes]

    class ValueRequested(Message):
        """A person wants to type a value of the modules that the keys act on."""

        def __init__(self, value: Value, text: str) -> None:
            super().__init__()
            self.value = value
            self.text = text
            """What stands there now."""

    @property
    def targets(self) -> list[Node]:
        """The modules that the keys act on, of which none lies in another."""
        raise NotImplementedError

    def ask(self, edit: Edit, nodes: Collection[Node]) -> None:
        """Post the request."""
        self.post_message(self.EditRequested(edit, nodes))

    def action_toggle_training(self) -> None:
        if nodes := self._with_parameters("to train or freeze"):
            marks = {self.modules.mark(node) for node in nodes}
            self.ask(Train(marks != {Mark.TRAINABLE}), nodes)

    def action_multiply(self, by: float) -> None:
        nodes = [n for n in self.targets if self.modules.lr_scale(n) is not None]
        if nodes:
            self.ask(Multiply(by), nodes)
        elif frozen := self._with_parameters("to train"):
            has = "have" if len(frozen) > 1 else "has"
            self._refuse(f"{called(frozen)} {has} no multiplier while frozen; = thaws at one.")

    def action_edit_scale(self) -> None:
        if nodes := self._with_parameters("to train"):
            scales: set[LrScale] = {self.modules.lr_scale(node) for node in nodes} - {None}
            scale = scales.pop() if len(scales) == 1 else MIXED
            text = f"{scale:g}" if isinstance(scale, float) else ""
            self.post_message(self.ValueRequested("scale", text))

    def action_reinitialise(self) -> None:
        if nodes := self._with_parameters("to draw anew"):
            new = set[bool]().union(*map(self.modules.new, nodes))
            self.ask(Reinitialise(new != {True}), nodes)

    def action_toggle_adapters(self) -> None:
        if nodes := self._adaptable():
            there = bool(self._ranks(nodes))  # a head may go without
            self.ask(Adapt(0 if there else ADAPTER_RANK), nodes)

    def action_edit_rank(self) -> None:
        if nodes := self._adaptable():
            ranks = self._ranks(nodes) or {ADAPTER_RANK}
            self.post_message(
                self.ValueRequested("rank", str(ranks.pop()) if len(ranks) == 1 else "")
            )

    def action_toggle_dora(self) -> None:
        if nodes := self._adaptable():
            ranks = self._ranks(nodes) or {ADAPTER_RANK}
            if len(ranks) == 1:
                self.ask(Adapt(ranks.pop(), not self._all_dora(nodes)), nodes)
            else:
                self._refuse("These have adapters of several ranks; L gives them one.")

    def typed(self, value: Value, text: str) -> EditRequested:
        """What a text that was typed asks for. Raises `UserError` where it makes no sense."""
        if value == "scale":
            return self.EditRequested(SetScale(_scale(text)), self._with_parameters("to train"))
        rank, nodes = _rank(text), self._adaptable()
        return self.EditRequested(Adapt(rank, bool(rank) and self._all_dora(nodes)), nodes)

    def _with_parameters(self, purpose: str) -> list[Node]:
        """The targets that have any; a sentence where none has."""
        nodes = [node for node in self.targets if self.modules.total(node)]
        if not nodes and self.targets:
            has = "have" if len(self.targets) > 1 else "has"
            self._refuse(f"{called(self.targets)} {has} no parameters {purpose}.")
        return nodes

    def _adaptable(self) -> list[Node]:
        """The targets with a layer that can have an adapter; a sentence where none has one."""
        nodes = [node for node in self.targets if self.modules.adapters(node)]
        if not nodes and self.targets:
            has = "have" if len(self.targets) > 1 else "has"
            self._refuse(f"{called(self.targets)} {has} no Linear or Conv2d layer to adapt.")
        return nodes

    def _adapters(self, nodes: Collection[Node]) -> set[Adapter]:
        return set[Adapter]().union(*map(self.modules.adapters, nodes)) - {NO_ADAPTER}

    def _ranks(self, nodes: Collection[Node]) -> set[int]:
        return {adapter.rank for adapter in self._adapters(nodes)}

    def _all_dora(self, nodes: Collection[Node]) -> bool:
        return {adapter.dora for adapter in self._adapters(nodes)} == {True}

    def _refuse(self, sentence: str) -> None:
        self.notify(sentence, severity="warning", markup=False)


def _scale(text: str) -> float:
    try:
        scale = float(text.strip().rstrip("x"))
    except ValueError:
        scale = math.nan
    if not 0 <= scale <= HIGHEST_SCALE:
        raise UserError("A number from 0 to 1e6, such as 0.1.")
    return scale


def _rank(text: str) -> int:
    rank = int(text) if text.strip().isdecimal() else HIGHEST_RANK + 1
    if rank > HIGHEST_RANK:
        raise UserError(f"A whole number from 0 to {HIGHEST_RANK}, such as 8.")
    return rank
