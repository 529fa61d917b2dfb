"""Pictures in the terminal."""

import base64
import io
import re
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image
from textual.app import App, ComposeResult

from ftui import graphics
from ftui.ascii import AsciiOnly
from ftui.widgets.picture import Picture, picture_of
from tests.ui.conftest import until


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


HALVES = np.zeros((32, 32, 3), np.uint8)
HALVES[:16], HALVES[16:] = (200, 0, 0), (0, 0, 200)


class Frame(App[None]):
    """One picture."""

    def __init__(self, ascii_only: bool = False) -> None:
        super().__init__()
        self.picture = Picture(ascii_only=ascii_only)

    def compose(self) -> ComposeResult:
        yield self.picture


def drawn(app: App[None]) -> list[list[tuple[str, object, object]]]:
    """Each cell of the screen, with its colours."""
    rows = app.screen._compositor.render_strips()
    return [
        [
            (c, s.style and s.style.color and s.style.color.triplet, s.style and s.style.bgcolor)
            for s in row
            for c in s.text
        ]
        for row in rows
    ]


def test_what_the_environment_tells() -> None:
    assert graphics.graphics({"TERM": "xterm-256color"}) == "blocks"
    assert graphics.graphics({"TERM": "xterm-kitty"}) == "kitty"
    assert graphics.graphics({"TERM": "foot-extra"}) == "sixel"
    assert graphics.graphics({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}) == "sixel"
    within = {"TERM": "tmux-256color", "TMUX": "/tmp/tmux", "TERM_PROGRAM": "WezTerm"}
    assert graphics.graphics(within) == "blocks"
    assert graphics.graphics(within | {"FTUI_GRAPHICS": "sixel"}) == "sixel"


async def test_half_blocks_keep_shape_and_colours() -> None:
    app = Frame()
    async with app.run_test(size=(60, 10)) as pilot:
        app.picture.show(png(HALVES))
        await until(pilot, lambda: any("▀" in c for row in drawn(app) for c, *_ in row))
        cells = drawn(app)
    blocks = [[x for x, (c, *_) in enumerate(row) if c == "▀"] for row in cells]
    assert {len(row) for row in blocks} == {20}  # twice as many cells as there are lines
    middle = blocks[0][10]
    assert cells[1][middle][1] == (200, 0, 0)
    assert cells[8][middle][1] == (0, 0, 200)


@pytest.fixture
def protocol(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], io.StringIO]]:
    """Chooses how pictures are drawn; what is written past Textual goes to what it gives."""

    def choose(name: str) -> io.StringIO:
        monkeypatch.setenv("FTUI_GRAPHICS", name)
        graphics.image_widget.cache_clear()
        told = io.StringIO()
        monkeypatch.setattr(sys, "__stdout__", told)
        return told

    yield choose
    monkeypatch.undo()
    graphics.image_widget.cache_clear()


async def test_kittys_protocol(protocol: Callable[[str], io.StringIO]) -> None:
    """The picture is sent once, placed, drawn by placeholders that name it, and freed."""
    told, app = protocol("kitty"), Frame()
    async with app.run_test(size=(60, 10)) as pilot:
        app.picture.show(png(HALVES))
        await until(pilot, lambda: any("\U0010eeee" in c for row in drawn(app) for c, *_ in row))
        strips = app.screen._compositor.render_strips()
        assert {strip.cell_length for strip in strips} == {60}  # marks take no cells
        cells = [s for strip in strips for s in strip if "\U0010eeee" in s.text]
        app.picture.show(png(HALVES[:, :8]))
        await until(pilot, lambda: "a=d" in told.getvalue())
    said = re.findall(r"\x1b_G([^;\x1b]*);?([^\x1b]*)\x1b\\", told.getvalue())
    messages = [(dict(pair.split("=") for pair in keys.split(",")), sent) for keys, sent in said]
    (first, _), (placed, _) = messages[0], next(m for m in messages if m[0].get("a") == "p")
    name = int(first["i"])
    assert (first["f"], placed["U"], int(placed["i"])) == ("100", "1", name)
    assert (int(placed["c"]), int(placed["r"])) == (20, 10)
    assert [s.text.count("\U0010eeee") for s in cells] == [20] * 10
    assert {s.style.color.triplet for s in cells} == {
        (name >> 16 & 255, name >> 8 & 255, name & 255)
    }
    payload = "".join(sent for keys, sent in messages if keys["i"] == first["i"] and sent)
    sent = np.asarray(Image.open(io.BytesIO(base64.b64decode(payload))).convert("RGB"))
    assert sent[2, 5].tolist() == [200, 0, 0]
    assert sent[-2, 5].tolist() == [0, 0, 200]
    assert {"a": "d", "d": "I", "i": first["i"], "q": "2"} in [keys for keys, _ in messages]


async def test_sixels(protocol: Callable[[str], io.StringIO]) -> None:
    """Two colours, each selected after it was defined, from the picture's first cell on; then the
    cursor is behind its last."""
    protocol("sixel")
    app = Frame()
    async with app.run_test(size=(60, 10)) as pilot:
        app.picture.show(png(HALVES))
        await until(pilot, lambda: "\x1bP" in text(app))
        said = text(app)
    found = re.search(
        r'\x1b\[(\d+);(\d+)H\x1bP[\d;]*q"1;1;(\d+);(\d+)([^\x1b]*)\x1b\\\x1b\[10;41H', said
    )
    assert found
    row, column, wide, high = map(int, found.groups()[:4])
    assert (row, column) == (1, 21)  # 20 of 60 cells
    assert wide == high
    body = found[5]
    assert sorted(re.findall(r"#(\d+);2;(\d+;\d+;\d+)#\1", body)) == sorted(
        re.findall(r"#(\d+);2;(\d+;\d+;\d+)", body)
    )
    assert {"78;0;0", "0;0;78"} <= set(re.findall(r"2;(\d+;\d+;\d+)", body))


async def test_words_where_nothing_can_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Frame(ascii_only=True)
    app.get_line_filters = lambda: [AsciiOnly()]  # type: ignore[method-assign]
    async with app.run_test(size=(60, 10)) as pilot:
        app.picture.show(png(HALVES))
        await until(pilot, lambda: "ASCII can't" in text(app))
        app.picture.say("broken [red]name[/red]")
        await until(pilot, lambda: "broken [red]name[/red]" in text(app))
    monkeypatch.setenv("NO_COLOR", "1")
    app = Frame()
    async with app.run_test(size=(60, 10)) as pilot:
        app.picture.show(png(HALVES))
        await until(pilot, lambda: "NO_COLOR" in text(app))


async def test_words_and_pictures_take_turns() -> None:
    app = Frame()
    async with app.run_test(size=(60, 10)) as pilot:
        app.picture.show(png(HALVES))
        app.picture.say("none")
        await until(pilot, lambda: "none" in text(app) and "▀" not in text(app))
        app.picture.show(png(HALVES[:, :8]))
        await until(pilot, lambda: "none" not in text(app) and "▀" in text(app))


def test_a_mask_is_laid_over() -> None:
    mask = np.zeros((32, 32), np.uint16)
    mask[:16], mask[16:, 16:] = 1, 3  # background, the third class, and what does not count
    seen = np.asarray(picture_of(png(HALVES), png(mask)))
    assert (seen[:16] == HALVES[:16]).all()
    assert (seen[16:, :16] == HALVES[16:, :16]).all()
    assert len(np.unique(seen[16:, 16:].reshape(-1, 3), axis=0)) == 1
    assert (seen[16:, 16:] != HALVES[16:, 16:]).any(-1).all()


def test_the_terminal_is_not_asked() -> None:
    """It would answer with keys."""
    stdout = sys.__stdout__
    graphics.image_widget.cache_clear()
    assert graphics.image_widget().__name__ in ("HalfcellImage", "KittyImage", "SixelImage")
    assert sys.__stdout__ is stdout


def text(app: App[None]) -> str:
    return "\n".join("".join(c for c, *_ in row) for row in drawn(app))
