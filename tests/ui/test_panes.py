"""What panes say and how they fit, in states that come seldom."""

from pathlib import Path
from threading import Event
from typing import Any

import pytest
from textual.widget import Widget

from engine import hardware
from engine.contract import events as e
from engine.contract.rules import Rule
from engine.runs.client import Run
from ftui.app import FtuiApp
from ftui.panes.hardware import HardwarePane
from ftui.panes.modules import PresetMenu
from ftui.panes.runs import RunsPane
from ftui.widgets.banner import Banner
from ftui.widgets.lines import Lines
from ftui.widgets.status import StatusLine, short_name
from tests.ui.conftest import Shown, until
from tests.ui.scripted import T0, ScriptedInspector, ScriptedRun

GIB = 2**30
BOX = hardware.Hardware(
    hardware.Cpu("a processor", [0.5] * 64, 0.5, None, 61 * GIB, 64 * GIB, 51.0),
    [hardware.Gpu(0, "a GPU", load=0.93, temperature=66.0, power=212.0)],
    "",
)


@pytest.fixture
def preparing(runs_dir: Path) -> ScriptedRun:
    run = ScriptedRun(runs_dir / "2026-11-23-resnet18-pets")
    run.tell(
        e.RunStarted(4321, "box", {"ftui": "0.1.0"}, run.config, time=T0),
        e.PreparationAdvanced("loading the weights", time=T0 + 1),
    )
    return run


def modules_words(app: FtuiApp) -> str:
    words = app.main.query_one("#modules-words")
    return str(words.content) if words.display else ""  # type: ignore[attr-defined]


def listed(app: FtuiApp) -> list[str]:
    runs = app.main.panes[4].target
    assert isinstance(runs, Lines)
    return runs.text.splitlines()


async def test_modules_tell_what_a_preparing_worker_does(
    shown: Shown, preparing: ScriptedRun
) -> None:
    async with shown(preparing) as (app, pilot):
        await until(
            pilot, lambda: "The worker prepares: loading the weights." in modules_words(app)
        )
        preparing.tell(e.ModelLoaded(preparing.model, "none", time=T0 + 2))
        await until(pilot, lambda: not modules_words(app))


async def test_modules_of_a_run_that_ended_before_it_had_any(
    shown: Shown, preparing: ScriptedRun
) -> None:
    preparing.tell(e.RunFailed(0, "The disk is full.", True, time=T0 + 2))
    preparing.die()
    async with shown(preparing) as (app, pilot):
        await until(pilot, lambda: modules_words(app) == "This run has not loaded its model.")


async def test_what_a_library_said_gets_its_full_stop(shown: Shown, run: ScriptedRun) -> None:
    run.tell(e.RunFailed(200, "KeyError: 'x'", False))
    run.die()
    async with shown(run) as (app, _):
        assert "KeyError: 'x'. See" in app.main.query_one(Banner).text


async def test_a_tab_that_is_opened_uses_all_of_its_width(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run, (80, 24)) as (app, pilot):
        await pilot.press("5")
        words = "▸ ▶ running    2026-11-23-resnet18-pets  41%  top-1 71.2 %"
        await until(pilot, lambda: words in listed(app)[0])


async def test_the_cursor_among_the_runs_begins_on_the_open_one(
    shown: Shown, run: ScriptedRun, runs_dir: Path
) -> None:
    for day in ("24", "25"):
        ScriptedRun(runs_dir / f"2026-11-{day}-resnet18-pets").die()
    async with shown(run) as (app, pilot):
        await until(pilot, lambda: len(listed(app)) == 3)
        runs = app.main.panes[4].target
        assert isinstance(runs, Lines)
        assert runs.cursor is not None
        assert "▸" in listed(app)[runs.cursor]


async def test_nothing_can_be_picked_where_there_are_no_runs(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        await pilot.press("5")
        await until(pilot, lambda: "No runs in" in listed(app)[0])
        runs = app.main.panes[4].target
        assert isinstance(runs, Lines)
        assert runs.cursor is None


async def test_news_of_a_poll_that_a_newer_one_overtook_are_shown(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, overtaken, told = Event(), Event(), Event()

    def snapshot() -> hardware.Hardware:
        if not first.is_set():
            first.set()
            overtaken.wait(10)
        else:  # sees what the first one saw, once that has taken it over
            told.wait(10)
        return BOX

    monkeypatch.setattr(hardware, "snapshot", snapshot)
    async with shown(None) as (app, pilot):
        await until(pilot, first.is_set)
        app.main._poll()
        overtaken.set()
        await until(pilot, lambda: app.workspace.hardware is not None)
        told.set()
        for _ in range(100):
            await pilot.pause(0.02)
        assert "a GPU" in app.main.query_one(HardwarePane).text


@pytest.mark.parametrize(("width", "figures"), [(100, 1), (120, 2), (200, 3)])
async def test_figures_of_the_hardware_are_dropped_whole(
    shown: Shown, run: ScriptedRun, monkeypatch: pytest.MonkeyPatch, width: int, figures: int
) -> None:
    monkeypatch.setattr(hardware, "snapshot", lambda: BOX)
    async with shown(run, (width, 50)) as (app, pilot):
        pane = app.main.query_one(HardwarePane)
        await until(pilot, lambda: "a GPU" in pane.text)
        await pilot.pause()
        load = next(line for line in pane.text.splitlines() if "93 %" in line)
        assert load.endswith((" 93 %", " 93 %  66 °C", " 93 %  66 °C  212 W")[figures - 1])
        assert all(len(line) <= pane.query_one(Lines).room for line in pane.text.splitlines())


async def test_presets_are_picked_under_their_name(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, pilot):
        await pilot.press("2", "m")
        menu = app.main.query_one(PresetMenu)
        assert menu.has_focus
        assert menu.border_title == " Presets, with their papers at arXiv "
        await pilot.press("j", "escape")
        await until(pilot, lambda: not menu.display)
        assert app.workspace.rules[-1] == Rule("fc")


def test_the_end_of_a_name_tells_runs_of_a_day_apart() -> None:
    names = [f"2026-11-23-tf-efficientnet-lite0-pictures{end}" for end in ("", "-2", "-13")]
    shown = [short_name(name, 22) for name in names]
    assert shown == ["11-23-tf-effic…ictures", "11-23-tf-effic…tures-2", "11-23-tf-effic…ures-13"]
    assert short_name("2026-11-23-resnet18", 22) == "2026-11-23-resnet18"
    assert short_name("2026-11-23-resnet18-pets", 22) == "11-23-resnet18-pets"


async def test_what_is_computed_once_is_told_while_and_after(shown: Shown, runs_dir: Path) -> None:
    run = ScriptedRun(runs_dir / "2026-11-23-resnet18-pets")
    run.start()
    run.tell(e.PrefixAdvanced(0, 320, 2600, time=T0 + 5))
    async with shown(run, (200, 50)) as (app, pilot):
        status, pane = app.main.query_one(StatusLine), app.main.query_one(HardwarePane)
        await until(pilot, lambda: "frozen part computed: 320/2,600" in status.text)
        run.tell(e.PrefixAdvanced(0, 640, 2600, reused=32, time=T0 + 5.5))
        await until(pilot, lambda: "640/2,600, 32 known already" in status.text)
        kept: dict[str, Any] = {
            "samples": 2600,
            "views": 2,
            "reused": 32,
            "size": GIB,
            "share": 0.93,
        }
        run.tell(e.PrefixCached(0, "training", "after layer3", **kept, time=T0 + 6))
        kept_words = (
            "training: goes on after layer3, 93.0 % kept (1,300 samples in 2 views, 32 known"
        )
        await until(pilot, lambda: kept_words in " ".join(pane.text.split()))
        assert "frozen part" not in status.text
        run.tell(e.PrefixCached(9, "training", why="it draws lots", time=T0 + 7))
        await until(pilot, lambda: "is not kept, it draws lots" in " ".join(pane.text.split()))


async def test_the_open_run_is_in_view_whatever_became_of_the_window(runs_dir: Path) -> None:
    for number in range(40):
        ScriptedRun(runs_dir / f"2026-11-10-run-{number:02}").start()
    app = FtuiApp(runs_dir, None, inspector=ScriptedInspector())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("5")
        pane = app.main.query_one(RunsPane)
        await until(pilot, lambda: "run-39" in seen(app, pane))
        await pilot.press("end")
        await until(pilot, lambda: "run-00" in seen(app, pane))
        await pilot.press("6")
        await pilot.resize_terminal(80, 24)
        (newest := ScriptedRun(runs_dir / "2026-11-10-run-40")).start()
        await pilot.resize_terminal(120, 40)
        app.main.open_run(Run(newest.folder))
        app.main._poll()
        await until(pilot, lambda: "run-40" in seen(app, pane))


def seen(app: FtuiApp, pane: Widget) -> str:
    """What is visible of a pane."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strips[y].text for y in range(pane.region.y, pane.region.bottom))
