"""A run that is opened, before its journal is read to the end."""

import threading

import pytest

from engine.contract import events as e
from engine.runs.client import Run
from engine.runs.journal import Tail
from engine.runs.lock import Hold
from ftui.widgets.keyline import KeyLine
from tests.ui.conftest import Shown
from tests.ui.scripted import ScriptedRun
from tests.ui.waiting import until


@pytest.mark.parametrize(
    ("ended", "standing", "offered", "not_offered"),
    [(True, "crashed", "Resume", "Stop"), (False, "running", "Stop", "Resume")],
)
async def test_until_it_is_read_nobody_says_how_it_stands(
    shown: Shown,
    run: ScriptedRun,
    monkeypatch: pytest.MonkeyPatch,
    ended: bool,
    standing: str,
    offered: str,
    not_offered: str,
) -> None:
    if ended:
        run.die()
    readable, look = threading.Event(), Run._look

    def held_up(self: Run, tail: Tail[e.AnyEvent]) -> tuple[Hold, list[e.AnyEvent]]:
        found = look(self, tail)
        assert readable.wait(60)
        return found

    monkeypatch.setattr(Run, "_look", held_up)
    async with shown(None, (200, 50)) as (app, pilot):
        app.main.open_run(opened := Run(run.folder))
        await until(pilot, lambda: opened.held is not None)
        app.main.show()
        for number in (1, 2, 4):
            app.main.action_pane(number)
            await until(pilot, lambda: "Reading the run." in screen(app))
            assert "◌ reading" in screen(app)
            assert "No model is chosen" not in screen(app)
        keys = app.main.query_one(KeyLine)
        await until(pilot, lambda: offered in keys.text)
        assert not_offered not in keys.text
        readable.set()
        await until(pilot, lambda: standing in screen(app) and "Reading" not in screen(app))
        assert "resnet18" in screen(app)


def screen(app: object) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())  # type: ignore[attr-defined]
