"""The command palette: every action with its key, the themes, the presets and the panes."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from textual.actions import parse
from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.dom import DOMNode
from textual.theme import BUILTIN_THEMES

from engine.contract.methods import METHODS
from ftui.panes.modules import PresetMenu
from ftui.panes.pane import Pane
from ftui.screens.help import Key, keys_of
from ftui.screens.main import MainScreen

_MOVES = ("pane(", "step(")
"""Actions that go from pane to pane; the palette names the panes instead."""


class Command(NamedTuple):
    """One line of the palette."""

    name: str
    help: str
    run: Callable[[], Any]


class Commands(Provider):
    """What the main screen can do now; a command that makes no sense at the moment is left out."""

    async def discover(self) -> Hits:
        for command in self.commands():
            yield DiscoveryHit(Content(command.name), command.run, command.name, command.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in self.commands():
            text = f"{command.name} {command.help}"
            score = matcher.match(command.name) or matcher.match(text) / 2
            if score > 0:
                shown = matcher.highlight(command.name)
                yield Hit(score, shown, command.run, command.name, command.help)

    def commands(self) -> Iterator[Command]:
        """Those of the screen first, then the panes' own, presets and themes."""
        screen = self.screen
        if not isinstance(screen, MainScreen):
            return
        for node in (screen, self.app):
            for key in keys_of([node]):
                if not key.action.startswith(_MOVES) and _makes_sense(node, key):
                    run = partial(self.app.run_action, key.action, node)
                    yield Command(key.label, self._help(key), run)
        for pane in screen.panes:
            go = partial(screen.action_pane, pane.number)
            yield Command(f"Go to {pane.title}", f"key {pane.number}", go)
            for place, key in _keys_in(pane):
                if _makes_sense(place, key):
                    there = partial(self._in_pane, screen, pane, place, key.action)
                    yield Command(f"{pane.title}: {key.label}", self._help(key), there)
        for name, method in METHODS.items():
            post = partial(screen.post_message, PresetMenu.Chosen(name))
            yield Command(f"Preset: {method.label}", method.help, post)
        for name in self.app.available_themes:
            if name not in BUILTIN_THEMES:
                yield Command(f"Theme: {name}", "", partial(setattr, self.app, "theme", name))

    def _help(self, key: Key) -> str:
        keys = ", ".join(self.app.get_key_display(Binding(k, "")) for k in key.keys)
        return f"{key.tooltip} (key {keys})"

    async def _in_pane(self, screen: MainScreen, pane: Pane, node: DOMNode, action: str) -> None:
        screen.action_pane(pane.number)
        await self.app.run_action(action, node)


def _keys_in(pane: Pane) -> Iterator[tuple[DOMNode, Key]]:
    """The pane's own, and those of what is in it that are more than ways about."""
    yield from ((pane, key) for key in keys_of([pane]))
    for node in pane.query("*"):
        yield from ((node, key) for key in keys_of([node]) if key.action in pane.offers)


def _makes_sense(node: DOMNode, key: Key) -> bool:
    _, name, parameters = parse(key.action)
    return bool(node.check_action(name, parameters))
