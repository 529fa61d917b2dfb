"""A run that is opened, before its journal is read to the end."""

import threading

import pytest

from engine.contract import events as e
from engine.contract.errors import UserError
from engine.runs.client import Run
from engine.runs.journal import Tail
from engine.runs.lock import Hold
from ftui.app import FtuiApp
from ftui.widgets.keyline import KeyLine
from tests.ui.conftest import Shown
from tests.ui.scripted import ScriptedRun
from tests.ui.waiting import until


@pytest.mark.parametrize(("ended", "standing"), [(True, "crashed"), (False, "running")])
async def test_until_it_is_read_nobody_says_how_it_stands(
    shown: Shown,
    run: ScriptedRun,
    monkeypatch: pytest.MonkeyPatch,
    ended: bool,
    standing: str,
) -> None:
    if ended:
        run.die()
    readable, looked, look = threading.Event(), threading.Event(), Run._look

    def held_up(self: Run, tail: Tail[e.AnyEvent]) -> tuple[Hold, list[e.AnyEvent]]:
        found = look(self, tail)
        looked.set()
        assert readable.wait(60)
        return found

    monkeypatch.setattr(Run, "_look", held_up)
    async with shown(None, (200, 50)) as (app, pilot):
        app.main.open_run(Run(run.folder))
        await until(pilot, looked.is_set)
        for number in (1, 2, 4):
            app.main.action_pane(number)
            await until(pilot, lambda: "Reading the run." in screen(app))
            assert "◌ reading" in screen(app)
            assert "No model is chosen" not in screen(app)
        app.main.action_pane(6)
        await until(pilot, lambda: "reading the run ..." in screen(app))
        keys = app.main.query_one(KeyLine)
        assert not {"Stop", "Resume"} & {*keys.text.split()}
        with pytest.raises(UserError, match=r"still being read"):
            app.workspace.set_field("optimizer.lr", "0.1")
        readable.set()
        await until(pilot, lambda: standing in screen(app) and "reading" not in screen(app))
        await until(pilot, lambda: ("Resume" if ended else "Stop") in keys.text)


async def test_a_journal_that_is_replaced_is_read_anew(run: ScriptedRun) -> None:
    seen = Run(run.folder)
    batches = seen.batches()
    while await anext(batches):
        pass
    assert (seen.caught_up, seen.state.step) == (True, 200)
    (journal := run.folder / "events.jsonl").unlink()
    journal.touch()
    assert await anext(batches) == []
    assert (seen.caught_up, seen.state.step) == (True, 0)
    await batches.aclose()  # type: ignore[attr-defined]


def screen(app: FtuiApp) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())
