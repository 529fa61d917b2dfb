"""The screen of predictions, against a scripted run."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from engine.contract import events as e
from engine.contract.config import ModelConfig
from engine.contract.inspection import Shown
from engine.contract.predictions import BEST, NEWEST, Cell, Counts, Row
from ftui.app import FtuiApp
from ftui.screens.help import help_on
from ftui.screens.predictions import PredictionsScreen
from tests.ui.conftest import Shown as ShowApp
from tests.ui.conftest import until
from tests.ui.predicted import SampleInspector, keep, mask, of_pets, of_scenes, png
from tests.ui.scripted import CONFIG, ScriptedRun

PICTURE = np.zeros((32, 32, 3), np.uint8)
PICTURE[...] = 90, 120, 30


def screen_text(app: FtuiApp) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def opened(app: FtuiApp, pilot: Pilot[None]) -> PredictionsScreen:
    await until(pilot, lambda: app.workspace.state and app.workspace.state.predictions)
    await pilot.press("P")
    await until(pilot, lambda: isinstance(app.screen, PredictionsScreen) and app.screen.found)
    screen = app.screen
    assert isinstance(screen, PredictionsScreen)
    await until(pilot, lambda: "epoch" in screen_text(app))
    return screen


async def test_it_is_there_once_something_was_evaluated(shown: ShowApp, run: ScriptedRun) -> None:
    async with shown(run) as (app, pilot):
        await pilot.press("P")
        assert not isinstance(app.screen, PredictionsScreen)
        keep(run, of_pets())
        await opened(app, pilot)
        await pilot.press("escape")
        assert app.screen is app.main


async def test_the_matrix_and_its_cursor(shown: ShowApp, run: ScriptedRun) -> None:
    keep(run, of_pets())
    async with shown(run) as (app, pilot):
        screen = await opened(app, pilot)
        assert "epoch 4, step 192: 15 pictures, 4 wrong" in screen_text(app)
        head, cat, dog, eel, *_ = screen.matrix.text.splitlines()
        assert head.split() == ["true", "\\", "said", "cat", "dog", "[red]e…"]
        assert cat.split() == ["cat", "5", "2", "·"]
        assert dog.split() == ["dog", "1", "6", "·"]
        assert eel.split() == ["[red]eel[/]", "·", "1", "·"]
        assert "cat, called cat: 5 (71.4 % of them)" in screen_text(app)
        await pilot.press("s", "right")
        assert screen.matrix.text.splitlines()[1].split() == ["cat", "71%", "29%", "·"]
        assert "cat, called dog: 2 (28.6 % of them)" in screen_text(app)


async def test_the_samples_of_a_cell_and_all(shown: ShowApp, run: ScriptedRun) -> None:
    keep(run, of_pets())
    async with shown(run) as (app, pilot):
        screen = await opened(app, pilot)
        await pilot.press("right", "enter")
        lines = screen.samples.text.splitlines()
        assert [line.split() for line in lines] == [
            ["2.5", "90.0", "%", "cat", "dog", "c/=cmd.png"],
            ["1.25", "80.0", "%", "cat", "dog", "c/1.png"],
        ]
        await pilot.press("a")
        first, *others = screen.samples.text.splitlines()
        assert first.split() == ["-", "60.0", "%", "[red]eel[/]", "dog", "e/[bold]3.png"]
        assert len(others) == 14


async def test_an_empty_cell_has_no_samples_to_list(shown: ShowApp, run: ScriptedRun) -> None:
    keep(run, of_pets())
    async with shown(run) as (app, pilot):
        screen = await opened(app, pilot)
        await pilot.press("right", "right", "enter")
        assert screen.matrix.times == 0
        assert screen.view == "matrix"


async def test_figures_by_class(shown: ShowApp, run: ScriptedRun) -> None:
    keep(run, of_pets())
    async with shown(run) as (app, pilot):
        screen = await opened(app, pilot)
        await pilot.press("2")
        rows = [line.split() for line in screen.by_class.text.splitlines()]
        assert rows[0] == ["cat", "83.3", "%", "71.4", "%", "76.9", "%", "7"]
        assert rows[2] == ["[red]eel[/]", "-", "0.0", "%", "0.0", "%", "1"]
        assert "precision" in screen_text(app)


async def test_labels_in_place_of_the_matrix_where_there_are_several(
    shown: ShowApp, run: ScriptedRun
) -> None:
    keep(run, of_pets(task="multi-label-classification", cells=[], score=""))
    async with shown(run) as (app, pilot):
        screen = await opened(app, pilot)
        said = screen_text(app)
        assert "label TP FP FN TN precision recall F1 pictures" in " ".join(said.split())
        rows = [" ".join(line.split()) for line in screen.by_label.text.splitlines()]
        assert rows == [
            "cat 5 1 2 7 83.3 % 71.4 % 76.9 % 7",
            "dog 6 3 1 5 66.7 % 85.7 % 75.0 % 7",
            "[red]eel[/] 0 0 1 14 - 0.0 % 0.0 % 1",
        ]
        assert screen.focused is screen.by_label
        await pilot.press("question_mark")
        await until(pilot, lambda: "All samples again" in screen_text(app))
        await pilot.press("escape", "3", "1")
        assert screen.view == "matrix"


async def test_a_language_model_has_blocks_in_its_place(shown: ShowApp, run: ScriptedRun) -> None:
    block = "block 1: " + "Once upon a time, " * 20
    none = {"classes": [], "counts": [], "cells": [], "score": "perplexity"}
    keep(run, of_pets(task="causal-lm", rows=[Row(0, block, 2.5, [], [], 12.2)], **none))
    async with shown(run) as (app, pilot):
        screen = await opened(app, pilot)
        told = "the highest loss first (3)"
        await until(pilot, lambda: told in " ".join(screen.by_label.text.split()))
        await pilot.press("3")
        assert "block 1: Once" in screen.samples.text
        once = "block 1\nloss 2.5, perplexity 12.2\n" + "Once upon a time, " * 5
        await until(pilot, lambda: screen.sample.text.startswith(once))
        assert screen.sample.text.count("block") == 1


async def test_a_picture_under_the_list(shown: ShowApp, run: ScriptedRun) -> None:
    keep(run, of_pets())
    inspector = SampleInspector(
        Shown(number=3, name="e/[bold]3.png", picture=png(PICTURE)),
        Shown(number=0, name="other.png", picture=png(PICTURE)),
    )
    async with shown(run) as (app, pilot):
        app.main.inspector = inspector
        screen = await opened(app, pilot)
        await pilot.press("3")
        await until(pilot, lambda: screen.sample.has_class("-picture"))
        assert "[red]eel[/], called dog" in screen.sample.text
        assert inspector.asked == [3]
        await pilot.press("down")
        await until(pilot, lambda: "not what it was" in screen.sample.text)
        assert not screen.sample.has_class("-picture")


async def test_code_of_ones_own_runs_for_it_once_that_is_allowed(
    shown: ShowApp, runs_dir: Path
) -> None:
    run = ScriptedRun(runs_dir / "own", replace(CONFIG, model=ModelConfig("net.py:make")))
    run.start()
    keep(run, of_pets())
    inspector = SampleInspector(Shown(number=3, name="e/[bold]3.png", picture=png(PICTURE)))
    async with shown(run) as (app, pilot):
        app.main.inspector = inspector
        screen = await opened(app, pilot)
        await pilot.press("3")
        await until(pilot, lambda: "r runs net.py:make, your own code" in screen.sample.text)
        await pilot.press("r", "n")
        assert inspector.asked == []
        await pilot.press("r", "y")
        await until(pilot, lambda: screen.sample.has_class("-picture"))


async def test_escape_leaves_a_large_sample_for_the_list(shown: ShowApp, run: ScriptedRun) -> None:
    keep(run, of_pets())
    async with shown(run) as (app, pilot):
        screen = await opened(app, pilot)
        await pilot.press("3", "enter")
        assert screen.samples.size.height == 1
        await pilot.press("escape")
        await until(pilot, lambda: screen.samples.size.height > 1)
        assert app.screen is screen
        await pilot.press("escape")
        assert app.screen is app.main


async def test_help_is_of_keys_that_are_there(shown: ShowApp, run: ScriptedRun) -> None:
    keep(run, of_pets())
    async with shown(run) as (app, pilot):
        screen = await opened(app, pilot)
        told = help_on(screen)._sections
        keys = [key for key in told[0].keys if {"y", "n", "escape"} & {*key.keys}]
        assert [key.action for key in keys] == ["back"]
        assert sum("enter" in key.keys for section in told for key in section.keys) == 2


async def test_masks_side_by_side(shown: ShowApp, run: ScriptedRun) -> None:
    keep(run, of_scenes())
    inspector = SampleInspector(
        Shown(number=0, name="images/a.png", picture=png(PICTURE), mask=png(mask(1)))
    )
    async with shown(run) as (app, pilot):
        app.main.inspector = inspector
        screen = await opened(app, pilot)
        await pilot.press("3")
        await until(pilot, lambda: screen.sample.has_class("-masked"))
        await until(pilot, lambda: "said" in screen_text(app).split("true", 2)[-1])
        assert "mean IoU 62.5 %" in screen.sample.text
        plain, true, said = (x.picture._image.image for x in screen.sample.query("_Captioned"))
        assert plain.getpixel((20, 5)) == (90, 120, 30)
        assert true.getpixel((20, 5)) != said.getpixel((20, 5)) != plain.getpixel((20, 5))
        assert true.getpixel((5, 5)) == said.getpixel((5, 5)) == plain.getpixel((5, 5))


async def test_a_text(shown: ShowApp, run: ScriptedRun) -> None:
    keep(run, of_pets())
    app_inspector = SampleInspector(
        Shown(number=3, name="[bold]3.png", text="Once [b]upon\na time")
    )
    async with shown(run) as (app, pilot):
        app.main.inspector = app_inspector
        screen = await opened(app, pilot)
        await pilot.press("3")
        await until(pilot, lambda: "Once [b]upon\na time" in screen.sample.text)


async def test_it_follows_the_run_and_shows_the_best(shown: ShowApp, run: ScriptedRun) -> None:
    keep(run, of_pets())
    async with shown(run) as (app, pilot):
        await opened(app, pilot)
        keep(run, of_pets(step=144, epoch=3), BEST)
        keep(run, of_pets(step=240, epoch=5))
        await until(pilot, lambda: "newest epoch 5, step 240" in screen_text(app))
        await pilot.press("b")
        await until(pilot, lambda: "best epoch 3, step 144" in screen_text(app))


async def test_export(
    shown: ShowApp, run: ScriptedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keep(run, of_pets())
    async with shown(run) as (app, pilot):
        screen = await opened(app, pilot)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "Save to" in screen.prompt.text)
        await pilot.press("enter")
        await until(pilot, lambda: (tmp_path / "predictions.csv").exists())
        assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 16
        await pilot.press("escape")
        assert app.screen is app.main


async def test_a_file_that_is_gone_is_a_sentence(shown: ShowApp, run: ScriptedRun) -> None:
    run.tell(e.PredictionsSaved(192, 4, NEWEST, 15))
    async with shown(run) as (app, pilot):
        await until(pilot, lambda: app.workspace.state and app.workspace.state.predictions)
        await pilot.press("P")
        await until(pilot, lambda: "can't be read" in screen_text(app))
        await pilot.press("3", "enter", "2", "1", "s", "enter", "ctrl+s", "b", "down")


async def test_many_classes_scroll(shown: ShowApp, run: ScriptedRun) -> None:
    names = [f"class {n}" for n in range(300)]
    found = of_pets(
        classes=names,
        counts=[Counts(7, 7, 7)] * 300,
        cells=[Cell(n, n, 7) for n in range(300)],
        rows=[],
    )
    keep(run, found)
    async with shown(run, (80, 24)) as (app, pilot):
        screen = await opened(app, pilot)
        await pilot.press("G")
        assert "class 299, called class 299: 7" in screen_text(app)
        await until(pilot, lambda: screen.matrix.text.splitlines()[-1].startswith("class 299"))
        assert screen.matrix.text.splitlines()[-1].endswith("7")
        await pilot.press("g")
        await until(pilot, lambda: screen.matrix.text.splitlines()[1].startswith("class 0"))


async def test_ascii_has_shades(shown: ShowApp, run: ScriptedRun) -> None:
    keep(run, of_pets())
    async with shown(run, ascii_only=True) as (app, pilot):
        screen = await opened(app, pilot)
        rows = screen.matrix.text.splitlines()
        assert rows[0].isascii() or "…" in rows[0]
        assert [word for word in rows[1].split() if word != "cat"] == ["*", "5", ":", "2", "."]
