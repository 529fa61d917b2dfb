"""Samples side by side, as many as there is room for."""

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Grid, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from engine.contract.inspection import Shown
from engine.contract.text import plain
from ftui.format import count
from ftui.widgets.picture import Picture

_LEAST = {"picture": (21, 11), "text": (40, 8)}
"""Cells that a sample takes at least, across and down."""


class Samples(Grid):
    """A page of samples, one of which is picked."""

    DEFAULT_CSS = """
    Samples { width: 1fr; height: 1fr; grid-gutter: 0 1; }
    """

    class Refitted(Message):
        """There is room for another number of samples."""

    def __init__(self, *, ascii_only: bool) -> None:
        super().__init__()
        self._ascii = ascii_only
        self.kind = "picture"
        self.alone = False
        """Whether one has all the room."""
        self.picked = 0
        self._shown: list[Shown] = []
        self.masks = True
        """Whether they lie over the pictures."""
        self._places = (0, 0)

    @property
    def places(self) -> int:
        """How many there is room for."""
        return self._places[0] * self._places[1]

    @property
    def one(self) -> Shown | None:
        """The one that is picked."""
        return self._shown[self.picked] if self.picked < len(self._shown) else None

    def fit(self) -> None:
        """Make as many places as there is room for."""
        across, down = _LEAST[self.kind]
        width, height = self.content_size
        places = (max(1, width // across), max(1, height // down))
        places = (1, 1) if self.alone else places
        if places == self._places or not width or not height:
            return
        self._places = places
        self.styles.grid_size_columns, self.styles.grid_size_rows = places
        self.remove_children()
        self.mount_all(Tile(self.kind, self._ascii) for _ in range(self.places))
        self.post_message(self.Refitted())

    def on_resize(self, event: events.Resize) -> None:
        self.fit()

    def show(self, shown: Sequence[Shown], masks: bool) -> None:
        """Show these, in as many places."""
        self._shown, self.masks = list(shown), masks
        self.picked = min(self.picked, max(0, len(shown) - 1))
        self._draw()

    def say(self, words: str) -> None:
        """One sentence in place of samples."""
        self._shown = []
        for place, tile in enumerate(self._tiles):
            tile.say(words if place == 0 else "")

    def show_masks(self, masks: bool) -> None:
        self.masks = masks
        if self._shown:  # else a sentence stands there
            self._draw()

    def pick(self, step: int) -> bool:
        """Pick the one so many places on; False where there is none."""
        place = self.picked + step
        if not 0 <= place < len(self._shown):
            return False
        self.picked = place
        for number, tile in enumerate(self._tiles):
            tile.set_class(number == place, "-picked")
        return True

    @property
    def _tiles(self) -> list["Tile"]:
        return [tile for tile in self.query_children(Tile) if not tile._pruning]

    def _draw(self) -> None:
        for place, tile in enumerate(self._tiles):
            tile.set_class(place == self.picked and place < len(self._shown), "-picked")
            if place < len(self._shown):
                tile.show(self._shown[place], self.masks)
            else:
                tile.say("")


class Tile(Vertical):
    """A sample: a picture above its labels and its name, or a text below them."""

    DEFAULT_CSS = """
    Tile {
        width: 1fr; height: 1fr;
        & > .tile--text { height: 1fr; overflow: hidden; margin-bottom: 1; }
        & > .tile--labels { height: 1; text-style: bold; }
        & > .tile--name { height: 1; color: $foreground-muted; }
        &.-picked > .tile--labels { text-style: bold reverse; }
    }
    """

    def __init__(self, kind: str, ascii_only: bool) -> None:
        super().__init__()
        self._picture = Picture(ascii_only=ascii_only) if kind == "picture" else None
        self._text = Static(markup=False, classes="tile--text")
        self._labels = Static(markup=False, classes="tile--labels")
        self._file = Static(markup=False, classes="tile--name")

    def compose(self) -> ComposeResult:
        about = self._labels, self._file
        yield from (self._picture, *about) if self._picture else (*about, self._text)

    def show(self, shown: Shown, masks: bool) -> None:
        if self._picture is None:
            self._text.update(Content(shown.text))
        elif shown.picture:
            self._picture.show(shown.picture, shown.mask if masks else b"")
        else:
            self._picture.say(plain(shown.problem))
        width = max(8, self.size.width)
        self._labels.update(Content(plain(", ".join(shown.labels) or amount(shown), width)))
        self._file.update(Content(tail(plain(shown.name, 4096), width)))

    def say(self, words: str) -> None:
        if self._picture is not None:
            self._picture.say(words)
        else:
            self._text.update(Content(words))
        self._labels.update("")
        self._file.update("")


def amount(shown: Shown) -> str:
    """How long a text is: 12 tokens, or 900 tokens, cut to 512."""
    if not shown.characters:
        return ""
    if shown.tokens is None:
        return count(shown.characters, "character")
    cut = shown.kept is not None and shown.kept < shown.tokens
    return count(shown.tokens, "token") + (f", cut to {shown.kept:,}" if cut else "")


def tail(name: str, width: int) -> str:
    """The end of a long name, which tells more."""
    return name if len(name) <= width else f"…{name[1 - width :]}"
