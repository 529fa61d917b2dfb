"""A fork of a run, from the cursor of its plot, over its parent's curve."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.contract import events as e
from engine.contract.errors import UserError
from engine.runs import client
from engine.runs.client import Run
from ftui.app import FtuiApp
from ftui.panes.plots import PlotsPane
from ftui.panes.runs import RunsPane
from ftui.screens.fork import ForkScreen
from ftui.widgets.form import FieldInput
from ftui.widgets.lines import Lines
from ftui.widgets.status import StatusLine
from tests.ui.conftest import Shown, caught_up, cursor_on, notices, plot, until
from tests.ui.scripted import ScriptedRun

SIZES = [(80, 24), (120, 40), (200, 50)]


# Forks


class Forking:
    """Stands for `engine.fork`: notes what it was asked, and leaves a fork as a worker would."""

    def __init__(self, runs_dir: Path) -> None:
        self.asked: list[tuple[Path, int, list[str]]] = []
        self.error = ""
        self._runs_dir = runs_dir
        self.made: ScriptedRun | None = None

    async def __call__(
        self, run: Path, step: int, overrides: Iterable[str] = (), runs_dir: Path | None = None
    ) -> Run:
        assert runs_dir == self._runs_dir
        self.asked.append((run, step, list(overrides)))
        if self.error:
            raise UserError(self.error)
        self.made = fork_of(run, step, self._runs_dir)
        return Run(self.made.folder)


def fork_of(parent: Path, step: int, runs_dir: Path) -> ScriptedRun:
    """A run that goes on from a step, up to step 200, with a lower loss."""
    fork = ScriptedRun(runs_dir / "2026-11-23-resnet18-pets-2")
    fork.tell(e.RunStarted(4321, "box", {"ftui": "0.1.0"}, fork.config))
    fork.tell(e.RunForked(str(parent), step))
    fork.start(took=False)
    fork.tell(e.StepsTrained(step + 1, [0.05] * (200 - step), [0.01] * (200 - step), 100.0))
    fork.step = 200
    return fork


@pytest.fixture
def forking(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Forking:
    stand_in = Forking(runs_dir)
    monkeypatch.setattr(client, "fork", stand_in)
    return stand_in


async def fork_form(pilot: Pilot[None], app: FtuiApp) -> ForkScreen:
    await pilot.press("B")
    await until(pilot, lambda: isinstance(app.screen, ForkScreen) and app.screen.form.list.cursor)
    assert isinstance(app.screen, ForkScreen)
    return app.screen


@pytest.mark.parametrize("size", SIZES)
async def test_a_fork_from_the_cursor_is_opened_over_its_parents_curve(
    shown: Shown, early: ScriptedRun, forking: Forking, size: tuple[int, int]
) -> None:
    early.tell(e.LearningRateChanged(100, 0.004))
    async with shown(early, size) as (app, pilot):
        await cursor_on(pilot, app, 120)
        sheet = await fork_form(pilot, app)
        assert "at step 120" in str(sheet.query_one("Vertical").border_title)
        assert sheet.form.list.field.key == "optimizer.lr"
        await pilot.press("enter")
        field = sheet.query_one(FieldInput)
        assert field.value == "0.004"  # as it was at that step
        await pilot.press("ctrl+u", *"0.002", "enter")
        await until(pilot, lambda: "0.002  instead of 0.004" in sheet.form.list.text)
        await pilot.press("s")
        await until(pilot, lambda: forking.made)
        assert forking.asked == [(early.folder, 120, ["optimizer.lr=0.002"])]

        await until(pilot, lambda: "pets-2" in app.main.query_one(StatusLine).text)
        await until(pilot, lambda: "╍ parent train" in plot(app))
        title = plot(app).splitlines()[0]
        assert title.startswith("loss  ━ train  ╍ parent train  ● parent val")
        assert app.main.body.active is app.main.query_one(PlotsPane)
        parent = app.workspace.parent
        assert parent is not None
        assert parent.folder == early.folder
        await cursor_on(pilot, app, 121)
        early.train_epoch(0.2, 0.43)  # a parent that lives goes on growing
        await until(pilot, lambda: parent.state.step == early.step)


async def test_a_fork_without_a_cursor_is_of_the_newest_step_and_can_be_left(
    shown: Shown, early: ScriptedRun, forking: Forking
) -> None:
    async with shown(early) as (app, pilot):
        sheet = await fork_form(pilot, app)
        assert "at step 192" in str(sheet.query_one("Vertical").border_title)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)
        assert forking.asked == []
        await fork_form(pilot, app)
        await pilot.press("s")
        await until(pilot, lambda: forking.asked)
        assert forking.asked == [(early.folder, 192, [])]


async def test_a_fork_of_a_run_that_has_ended(
    shown: Shown, early: ScriptedRun, forking: Forking
) -> None:
    early.tell(e.RunStopped(early.step, "command"))
    early.die()
    async with shown(early) as (app, pilot):
        await fork_form(pilot, app)
        await pilot.press("s")
        await until(pilot, lambda: app.workspace.parent and app.workspace.parent.caught_up)
        assert forking.asked == [(early.folder, 192, [])]


async def test_a_wrong_value_and_the_model_are_refused_in_the_form(
    shown: Shown, early: ScriptedRun, forking: Forking
) -> None:
    async with shown(early) as (app, pilot):
        sheet = await fork_form(pilot, app)
        await pilot.press("enter", "ctrl+u", *"fast", "enter")
        await until(pilot, lambda: sheet.form.wrong)
        assert sheet.form.wrong.startswith("optimizer.lr must be a number")
        await pilot.press("escape", "home", "down", "enter")
        await until(pilot, lambda: notices(app))
        assert notices(app) == ["A fork has its parent's model, so model.name stays."]
        assert isinstance(app.screen, ForkScreen)


async def test_a_fork_that_is_refused_says_why(
    shown: Shown, early: ScriptedRun, forking: Forking
) -> None:
    forking.error = "The disk is full."
    async with shown(early) as (app, pilot):
        await fork_form(pilot, app)
        await pilot.press("s")
        await until(pilot, lambda: notices(app) == ["The disk is full."])
        assert app.workspace.run is not None
        assert app.workspace.run.folder == early.folder


async def test_before_the_first_step_there_is_nothing_to_fork(
    shown: Shown, runs_dir: Path, forking: Forking
) -> None:
    run = ScriptedRun(runs_dir / "2026-11-23-resnet18-pets")
    run.tell(e.RunStarted(4321, "box", {"ftui": "0.1.0"}, run.config))
    async with shown(run) as (app, pilot):
        await pilot.press("B")
        await until(pilot, lambda: notices(app))
        assert "has not begun to train" in notices(app)[0]


async def test_a_fork_that_is_opened_later_is_overlaid_too_and_ascii_tells_them_apart(
    shown: Shown, early: ScriptedRun, runs_dir: Path
) -> None:
    fork = fork_of(early.folder, 120, runs_dir)
    async with shown(fork, ascii_only=True) as (app, pilot):
        await until(pilot, lambda: "= parent train" in plot(app))
        assert "step 200  train 0.05" in plot(app)  # not the parent's newest
        await cursor_on(pilot, app, 121)
        assert "forked from 2026-11-23-resnet18-pets at step 120" in str(
            app.main.query_one(PlotsPane).border_subtitle
        )


@pytest.mark.parametrize("moved", [False, True])
async def test_a_parent_is_looked_for_beside_the_fork_and_may_be_gone(
    shown: Shown, early: ScriptedRun, runs_dir: Path, moved: bool
) -> None:
    name = early.folder.name if moved else "2026-11-01-gone"
    fork = fork_of(Path("/elsewhere") / name, 120, runs_dir)
    async with shown(fork) as (app, pilot):
        await until(pilot, lambda: "train" in plot(app))
        if moved:
            await until(pilot, lambda: "parent train" in plot(app))
        else:
            assert app.workspace.parent is None
            assert "parent" not in plot(app)


async def test_another_run_has_no_parent(shown: Shown, early: ScriptedRun, runs_dir: Path) -> None:
    fork = fork_of(early.folder, 120, runs_dir)
    async with shown(fork) as (app, pilot):
        await until(pilot, lambda: "parent train" in plot(app))
        app.main.open_run(Run(early.folder))
        await until(pilot, lambda: caught_up(app, early))
        assert "parent" not in plot(app)


@pytest.mark.parametrize("size", SIZES)
async def test_the_runs_tell_of_which_one_a_fork_is(
    shown: Shown, early: ScriptedRun, runs_dir: Path, size: tuple[int, int]
) -> None:
    fork_of(early.folder, 120, runs_dir)
    async with shown(early, size) as (app, pilot):
        await pilot.press("5")
        pane = app.main.query_one(RunsPane)
        lines = pane.query_one(Lines)
        await until(pilot, lambda: len(lines.text.splitlines()) == 2)
        await pilot.press("home")
        row = lines.text.splitlines()[0]
        assert "pets-2" in row
        if "of 11-23-resnet18-pets" not in row:  # no room: the frame says it
            await until(pilot, lambda: pane.border_subtitle == "of 11-23-resnet18-pets")
            await pilot.press("end")
            await until(pilot, lambda: pane.border_subtitle == "2 runs")
        assert all(len(line) <= lines.room for line in lines.text.splitlines())
