"""Keys typed in one burst go where the earlier ones of the burst have moved the focus."""

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.pilot import Pilot
from textual.widgets import Button, Input

from ftui.typeahead import TypeAheadApp


class Searchable(TypeAheadApp):
    """A button with the focus, `/` for a search line, and letters that do harm."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search"),
        Binding("space", "harm('space')", "Toggle"),
        Binding("s", "harm('s')", "Start"),
        Binding("q", "harm('q')", "Leave"),
    ]

    class Closed(Message):
        """The search is over; a message more on the way back to the button."""

    def __init__(self) -> None:
        super().__init__()
        self.harm: list[str] = []

    def compose(self) -> ComposeResult:
        yield Button("first")
        yield Input(select_on_focus=False)

    @on(Input.Submitted)
    def _found(self) -> None:
        self.post_message(self.Closed())

    def on_searchable_closed(self) -> None:
        self.screen.set_focus(self.query_one(Button))

    def action_search(self) -> None:
        self.screen.set_focus(self.query_one(Input))

    def action_harm(self, key: str) -> None:
        self.harm.append(key)


def burst(app: Searchable, *keys: str) -> None:
    """All at once, as a terminal gives them."""
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


async def taken(pilot: Pilot[None], app: Searchable) -> None:
    """Return once all keys have had their effect."""
    await pilot.pause()
    while app.keys_waiting:
        await pilot.pause()


async def test_a_burst_after_a_key_that_moves_the_focus() -> None:
    app = Searchable()
    async with app.run_test() as pilot:
        app.query_one(Button).focus()
        await pilot.pause()
        burst(app, "slash", *"squeeze")
        await taken(pilot, app)
        assert app.query_one(Input).value == "squeeze"
        assert app.harm == []


async def test_a_burst_across_the_way_there_and_back() -> None:
    """The space must not be typed into the search line, which has the focus when it is read."""
    app = Searchable()
    async with app.run_test() as pilot:
        app.query_one(Button).focus()
        await pilot.pause()
        burst(app, "slash", *"sq", "enter", "space", "q", "slash", *"s")
        await taken(pilot, app)
        assert app.query_one(Input).value == "sqs"
        assert app.harm == ["space", "q"]


async def test_keys_without_a_move_do_what_they_do() -> None:
    app = Searchable()
    async with app.run_test() as pilot:
        app.query_one(Button).focus()
        await pilot.press("s", "q")
        assert app.harm == ["s", "q"]
