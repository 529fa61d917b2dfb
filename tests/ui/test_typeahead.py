"""Keys typed in one burst go where the earlier ones of the burst have moved the focus."""

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Button, Input

from ftui.typeahead import TypeAheadApp


class Searchable(TypeAheadApp):
    """A button with the focus, `/` for a search line, and letters that do harm."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search"),
        Binding("s", "harm('s')", "Start"),
        Binding("q", "harm('q')", "Leave"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.harm: list[str] = []

    def compose(self) -> ComposeResult:
        yield Button("first")
        yield Input()

    def action_search(self) -> None:
        self.screen.set_focus(self.query_one(Input))

    def action_harm(self, key: str) -> None:
        self.harm.append(key)


async def test_a_burst_after_a_key_that_moves_the_focus() -> None:
    app = Searchable()
    async with app.run_test() as pilot:
        app.query_one(Button).focus()
        await pilot.pause()
        for character in "/squeeze":
            key = "slash" if character == "/" else character
            app.post_message(events.Key(key, character))  # all at once, as a terminal gives them
        await pilot.pause()
        await pilot.pause()
        assert app.query_one(Input).value == "squeeze"
        assert app.harm == []


async def test_keys_without_a_move_do_what_they_do() -> None:
    app = Searchable()
    async with app.run_test() as pilot:
        app.query_one(Button).focus()
        await pilot.press("s", "q")
        assert app.harm == ["s", "q"]
