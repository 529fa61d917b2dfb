"""Screens of data and predictions as pictures, as in `test_snapshots`."""

import numpy as np
import pytest
from textual.pilot import Pilot

from engine.contract.inspection import Shown
from ftui.app import FtuiApp
from ftui.draft import Draft
from ftui.screens.data import DataScreen
from ftui.screens.predictions import PredictionsScreen
from tests.ui.conftest import until
from tests.ui.looking import NAMES, SIZES, Look
from tests.ui.predicted import SampleInspector, keep, mask, of_pets, of_scenes, png
from tests.ui.scripted import CONFIG, ScriptedRun


async def predictions(app: FtuiApp, pilot: Pilot[None]) -> PredictionsScreen:
    await until(pilot, lambda: app.workspace.state and app.workspace.state.predictions)
    await pilot.press("P")
    await until(pilot, lambda: isinstance(app.screen, PredictionsScreen) and app.screen.found)
    assert isinstance(app.screen, PredictionsScreen)
    return app.screen


@pytest.mark.parametrize("size", SIZES, ids=NAMES)
def test_a_confusion_matrix(look: Look, run: ScriptedRun, size: tuple[int, int]) -> None:
    keep(run, of_pets())

    async def the_matrix(app: FtuiApp, pilot: Pilot[None]) -> None:
        await predictions(app, pilot)
        await pilot.press("right")

    screen = look(size, "ftui-dark", the_matrix, run)
    assert screen.has_row("Predictions of 2026-11-23-resnet18-pets")
    assert screen.has_row("newest epoch 4, step 192: 15 pictures, 4 wrong")
    assert screen.has_row("[1 Matrix]", "2 Classes", "3 Samples")
    assert screen.has_row("cat, called dog: 2 (28.6 % of them)")
    assert screen.has_row("true \\ said", "cat", "dog")
    assert screen.has_row("[red]eel[/]", "·", "1", "·")
    assert screen.has_row("tab 1-3 view", "enter opens", "ctrl+s CSV", "? keys")
    assert screen.matches


@pytest.mark.parametrize("size", SIZES, ids=NAMES)
def test_the_worst_losses_with_masks(look: Look, run: ScriptedRun, size: tuple[int, int]) -> None:
    keep(run, of_scenes())
    picture = np.tile(np.arange(0, 256, 8, dtype=np.uint8)[:, None, None], (1, 32, 3))
    scene = Shown(number=0, name="images/a.png", picture=png(picture), mask=png(mask(1)))

    async def the_sample(app: FtuiApp, pilot: Pilot[None]) -> None:
        app.main.inspector = SampleInspector(scene)
        screen = await predictions(app, pilot)
        await pilot.press("3")
        await until(pilot, lambda: screen.sample.has_class("-masked"))

    screen = look(size, "ftui-light", the_sample, run)
    assert screen.has_row("1 Matrix", "2 Classes", "[3 Samples]")
    assert screen.has_row("loss", "mean IoU", "name")
    assert screen.has_row("0.5", "62.5 %", "a.png")
    assert screen.has_row("loss 0.5, mean IoU 62.5 %")
    assert screen.has_row("as the model sees it", "true", "said")
    assert any(line.count("▀") + line.count("▄") > 20 for line in screen.lines)
    assert screen.matches


@pytest.mark.parametrize("size", SIZES, ids=NAMES)
def test_the_data(look: Look, size: tuple[int, int]) -> None:
    async def the_samples(app: FtuiApp, pilot: Pilot[None]) -> None:
        app.workspace.draft = Draft(CONFIG)
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, DataScreen))
        screen = app.screen
        assert isinstance(screen, DataScreen)
        await until(pilot, lambda: "Nearly the same" in screen.text and screen.samples_shown)

    screen = look(size, "ftui-dark", the_samples)
    assert screen.has_row("all", "80", "16")
    assert screen.has_row("red [b]", "70", "14")
    assert screen.has_row("▀" * 18)
    assert screen.has_row("n next", "escape closes")
    assert screen.matches
