"""How often the app draws: considerate of a run that needs all cores, once nobody is there."""

import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from textual import events

from engine.contract.commands import Pause
from engine.runs.client import SECONDS_BETWEEN_LOOKS, Run
from ftui import pace
from ftui.app import FtuiApp
from ftui.pace import Pace
from ftui.widgets.status import StatusLine
from ftui.workspace import Workspace
from tests.ui.conftest import Shown
from tests.ui.scripted import ScriptedRun
from tests.ui.waiting import until

HERE = {"host": socket.gethostname(), "device": "cpu", "threads": 2}


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [100.0]
    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(pace.cores, "usable", lambda: [0, 1])
    return clock


def watching(folder: Path, standing: str = "running", **told: Any) -> Workspace:
    workspace = Workspace(folder)
    workspace.run = Run(folder)
    workspace.run.state = replace(workspace.run.state, **{**HERE, **told})
    workspace.standing = standing  # type: ignore[assignment]
    return workspace


def test_a_run_that_needs_all_cores_is_left_alone_once_nobody_is_there(
    tmp_path: Path, now: list[float]
) -> None:
    workspace, paces = watching(tmp_path), Pace(4.0)
    assert workspace.run
    assert (paces.seconds(workspace), workspace.run.patience) == (0.25, 1.0)
    now[0] += 60
    assert paces.seconds(workspace) == workspace.run.patience == 12.0
    assert paces.considerate
    paces.touch()
    assert (paces.seconds(workspace), workspace.run.patience) == (0.25, 1.0)
    assert not paces.considerate


def test_the_answer_to_a_command_is_looked_for_at_once(tmp_path: Path, now: list[float]) -> None:
    workspace, paces = watching(tmp_path), Pace(4.0)
    assert workspace.run
    workspace.pending["1"] = Pause()
    assert paces.seconds(workspace) == 0.25
    assert workspace.run.patience == SECONDS_BETWEEN_LOOKS
    now[0] += 60
    assert paces.seconds(workspace) == 0.25
    assert workspace.run.patience == SECONDS_BETWEEN_LOOKS
    paces.touch()
    workspace.pending.clear()
    paces.seconds(workspace)
    assert workspace.run.patience == 1.0


def test_its_parent_is_left_alone_too(tmp_path: Path, now: list[float]) -> None:
    workspace, paces = watching(tmp_path), Pace(4.0)
    workspace.parent = Run(tmp_path)
    now[0] += 60
    assert paces.seconds(workspace) == workspace.parent.patience


@pytest.mark.parametrize(
    "told",
    [
        {"host": "elsewhere"},
        {"device": "cuda:0"},
        {"threads": 1},
        {"standing": "paused"},
        {"standing": "finished"},
    ],
)
def test_others_are_drawn_as_ever(tmp_path: Path, now: list[float], told: dict[str, Any]) -> None:
    paces = Pace(4.0)
    now[0] += 60
    workspace = watching(tmp_path, **told)
    assert workspace.run
    assert paces.seconds(workspace) == 0.25
    assert workspace.run.patience == SECONDS_BETWEEN_LOOKS
    assert paces.seconds(Workspace(tmp_path)) == 0.25


def test_in_another_window_once_a_second(tmp_path: Path, now: list[float]) -> None:
    slow, quick = Pace(0.5), Pace(10.0)
    slow.blurred = quick.blurred = True
    assert (slow.seconds(watching(tmp_path)), quick.seconds(watching(tmp_path))) == (2.0, 1.0)


@pytest.mark.parametrize("event", [events.Key("4", "4"), events.AppFocus(), events.Paste("x")])
async def test_somebody_wakes_the_app(
    shown: Shown, run: ScriptedRun, monkeypatch: pytest.MonkeyPatch, event: events.Event
) -> None:
    monkeypatch.setattr(pace, "_CONSIDERATE", 3600.0)
    monkeypatch.setattr(pace, "needs_all_cores", lambda _: True)
    async with shown(run, (200, 50)) as (app, pilot):
        await until(pilot, lambda: "200/" in status(app))
        monkeypatch.setattr(pace, "ALONE", 0.0)
        await until(pilot, lambda: app.main._pace.considerate)
        monkeypatch.setattr(pace, "ALONE", 60.0)
        run.train(7)
        await pilot.pause(0.5)
        assert "200/" in status(app)
        app.post_message(event)
        await until(pilot, lambda: "207/" in status(app))


async def test_the_focus_of_the_window_is_heard(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, pilot):
        for event, blurred in ((events.AppBlur(), True), (events.AppFocus(), False)):
            app.post_message(event)
            await until(pilot, lambda blurred=blurred: app.main._pace.blurred == blurred)


def status(app: FtuiApp) -> str:
    return app.main.query_one(StatusLine).text
