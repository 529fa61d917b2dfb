"""The menu of a model's weights."""

from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import OptionList

from engine.contract.catalogue import CatalogueEntry
from engine.contract.text import plain
from ftui.widgets.menu import Menu


class WeightsMenu(Menu):
    """The default, the named ones, none, or a file."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape,backspace,w",
            "close",
            "Close",
            id="weights.close",
            tooltip="Choose no other weights",
        ),
    ]

    class Chosen(Message):
        """Weights were picked; `weights` is None where a path is to be typed."""

        def __init__(self, model: str, weights: str | None) -> None:
            super().__init__()
            self.model = model
            self.weights = weights

    class Closed(Message):
        """The menu is gone, nothing picked."""

    def __init__(self) -> None:
        super().__init__()
        self._model = ""
        self._values: list[str | None] = []

    def open(self, entry: CatalogueEntry) -> None:
        """Offer what there is for a model."""
        self._model = entry.name
        default = plain(entry.weights[0]) if entry.weights else "the library's best"
        lines = [("DEFAULT", default), *((name, "") for name in entry.weights)]
        lines += [("none", "random weights"), ("a file ...", ".safetensors or .pth")]
        self._values = ["DEFAULT", *entry.weights, "none", None]
        width = max(len(name) for name, _ in lines)
        self.clear_options()
        for name, words in lines:
            self.add_option(f"{plain(name):<{width}}  {words}")
        self.show(f"Weights of {plain(entry.name)}")

    def action_close(self) -> None:
        self.display = False
        self.post_message(self.Closed())

    @on(OptionList.OptionSelected)
    def _picked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.display = False
        self.post_message(self.Chosen(self._model, self._values[event.option_index]))
