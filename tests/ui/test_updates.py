"""What is sent for a change: its cells, and none beside them."""

import io
import re

import pytest
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate
from textual.app import App
from textual.geometry import Region
from textual.strip import Strip

from ftui.updates import CellsUpdate
from ftui.widgets.changes import changed_region
from tests.ui.conftest import Shown, caught_up, until
from tests.ui.scripted import ScriptedRun

RED = Style(color="red")


def strip(*texts: str) -> Strip:
    return Strip([Segment(text, RED if at % 2 else Style()) for at, text in enumerate(texts)])


@pytest.mark.parametrize(
    ("before", "after", "region"),
    [
        (strip("step 12"), strip("step 12"), None),
        (strip("step 12"), strip("step 13"), Region(6, 3, 1, 1)),
        (strip("a", "b", "c"), strip("a", "B", "c"), Region(1, 3, 1, 1)),
        (strip("ab"), strip("a", "b"), Region(1, 3, 1, 1)),  # another style
        (strip("世x"), strip("世y"), Region(2, 3, 1, 1)),
        (strip("ab"), strip("abc"), Region(2, 3, 1, 1)),
    ],
)
def test_the_cells_that_differ(before: Strip, after: Strip, region: Region | None) -> None:
    assert changed_region(before, after, 3) == region


def test_an_update_begins_where_its_spans_begin() -> None:
    """Two widgets side by side, 6 and 4 cells wide; cells 4 to 8 changed."""
    chops = [{0: strip("abcdef"), 6: strip("ghij")}]
    update = CellsUpdate(ChopsUpdate(chops, [(0, 4, 8)], [[6, 10]]))
    sent = update.render_segments(Console(file=io.StringIO()))
    assert re.split(r"\x1b\[(\d+;\d+)H", sent) == ["", "1;5", "ef", "1;7", "gh"]


async def test_the_app_sends_nothing_else(
    run: ScriptedRun, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    def take(app: App[None], _screen: object, renderable: object) -> None:
        assert not isinstance(renderable, ChopsUpdate) or isinstance(renderable, CellsUpdate)
        if isinstance(renderable, CellsUpdate):
            sent.append(renderable.render_segments(app.console))

    async with shown(run) as (app, pilot):
        await pilot.pause()
        monkeypatch.setattr(App, "_display", take)
        run.train(1)
        await until(pilot, lambda: caught_up(app, run) and "train" in "".join(sent))
    texts = [re.sub(r"\x1b\[[\d;]*m", "", t) for t in re.split(r"\x1b\[[\d;]*H", "".join(sent))]
    assert max(map(len, texts)) < 60, "a whole line of a pane was sent"
