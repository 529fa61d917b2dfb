"""R on a run that has ended, and what is said in a corner."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from textual.widgets._toast import Toast, ToastRack

from engine.contract import events as e
from engine.contract.errors import UserError
from engine.runs import client
from engine.runs.client import Run
from ftui.app import FtuiApp
from ftui.widgets.prompt import Prompt
from tests.ui.conftest import Shown, until
from tests.ui.scripted import ScriptedInspector, ScriptedRun


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What `resume` was asked for, in its stead."""
    found: list[list[str]] = []

    async def resume(run: Path, overrides: Sequence[str] = ()) -> Run:
        found.append(list(overrides))
        return Run(run)

    monkeypatch.setattr(client, "resume", resume)
    return found


@pytest.mark.parametrize(
    ("ended", "question"),
    [
        ([e.RunFinished(200)], "Train to epoch: "),
        (
            [e.EarlyStopped(200, "val_loss", 0.5, 3), e.RunFinished(200)],
            "Early stopping counts anew; train to epoch: ",
        ),
    ],
)
async def test_a_finished_run_is_asked_for_epochs(
    shown: Shown, run: ScriptedRun, asked: list[list[str]], ended: list[e.AnyEvent], question: str
) -> None:
    """It has ended in epoch 5 of 10."""
    run.tell(*ended)
    run.die()
    async with shown(run, (80, 24)) as (app, pilot):
        await pilot.press("R")
        prompt = app.main.query_one(Prompt)
        assert prompt.text == question.strip()
        await pilot.press("ctrl+u", "5", "enter")
        assert "A whole number above 5." in prompt.text
        await pilot.press("ctrl+u", *"12", "enter")
        await until(pilot, lambda: asked == [["training.epochs=12"]])


async def test_a_stopped_run_just_goes_on(
    shown: Shown, run: ScriptedRun, asked: list[list[str]]
) -> None:
    run.tell(e.RunStopped(200, "command"))
    run.die()
    async with shown(run) as (_, pilot):
        await pilot.press("R")
        await until(pilot, lambda: asked == [[]])


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_a_corner_leaves_prompt_and_keys_alone(
    run: ScriptedRun, runs_dir: Path, size: tuple[int, int]
) -> None:
    app = FtuiApp(runs_dir, run.folder, refresh=30, inspector=ScriptedInspector())
    async with app.run_test(size=size, notifications=True) as pilot:
        for number in range(9):
            app.main.tell(UserError(f"Sentence {number} is long and takes several lines. " * 3))
        await until(pilot, lambda: len(app.main.query(Toast)) == 9)
        app.main.prompt.confirm("Stop?", list)
        await until(pilot, lambda: app.main.prompt.region.height)
        rack = app.main.query_one(ToastRack)
        assert rack.region.bottom <= app.main.prompt.region.y < size[1] - 1
