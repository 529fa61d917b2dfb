"""The keys that do something now, on the bottom line."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from textual import events
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

_GAP = 2
_ALWAYS = ("main.help", "app.leave")
"""On the right, whatever else there is."""


class Hint(NamedTuple):
    """A key and what it does."""

    key: str
    display: str
    label: str

    @property
    def width(self) -> int:
        return len(self.display) + 1 + len(self.label)


class KeyLine(Widget):
    """The focused pane's own keys first, then the screen's; a click presses one."""

    DEFAULT_CSS = "KeyLine { height: 1; width: 1fr; padding: 0 1; }"
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._hints: tuple[list[Hint], list[Hint]] = ([], [])

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._update)
        self._update(self.screen)

    @property
    def text(self) -> str:
        """What is to be read on it."""
        return self.render().plain

    def render(self) -> Content:
        left, right = self._hints
        left = fit(left, self.size.width - _length(right) - _GAP)
        room = self.size.width - _length(left) - _length(right)
        return Content.assemble(*_words(left), " " * max(0, room), *_words(right))

    def on_click(self, event: events.Click) -> None:
        left, right = self._hints
        at = event.get_content_offset(self)
        left = fit(left, self.size.width - _length(right) - _GAP)
        for hints, start in ((left, 0), (right, self.size.width - _length(right))):
            for hint in hints:
                if at is not None and start <= at.x < start + hint.width:
                    self.app.simulate_key(hint.key)
                start += hint.width + _GAP

    def _update(self, screen: Screen[object]) -> None:
        if not screen.is_current:
            return
        left: dict[str, Hint] = {}
        right: dict[str, Hint] = {}
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.show and active.enabled:
                display = self.app.get_key_display(binding)
                hint = Hint(binding.key, display, binding.description)
                (right if binding.id in _ALWAYS else left).setdefault(binding.action, hint)
        hints = list(left.values()), list(right.values())
        if hints != self._hints:
            self._hints = hints
            self.refresh()


def fit(hints: Sequence[Hint], width: int) -> list[Hint]:
    """The first of them that have room in `width` cells."""
    kept = list(hints)
    while kept and _length(kept) > width:
        kept.pop()
    return kept


def _length(hints: Sequence[Hint]) -> int:
    return sum(hint.width for hint in hints) + _GAP * max(0, len(hints) - 1)


def _words(hints: Iterable[Hint]) -> list[str | tuple[str, str]]:
    words: list[str | tuple[str, str]] = []
    for hint in hints:
        words += [" " * _GAP] if words else []
        words += [(hint.display, ".key"), (f" {hint.label}", ".muted")]
    return words
