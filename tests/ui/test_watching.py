"""A run that trains, as one watches it and goes back: overfitting, rewind, fork, norms."""

from pathlib import Path

import pytest

from engine.contract import commands as c
from engine.contract import events as e
from ftui.app import FtuiApp
from ftui.palette import Commands
from ftui.screens.norms import NormsScreen
from ftui.screens.texts import TextsScreen
from ftui.widgets.banner import Banner
from ftui.widgets.fitline import FitLine
from ftui.widgets.rewind import RewindMenu
from ftui.widgets.status import StatusLine
from tests.ui.conftest import Shown, caught_up, cursor_on, notices, plot, until
from tests.ui.scripted import ScriptedRun

SIZES = [(80, 24), (120, 40), (200, 50)]


def fit_line(app: FtuiApp) -> str:
    return app.main.query_one(FitLine).text


def banner(app: FtuiApp) -> str:
    return app.main.query_one(Banner).text


def menu(app: FtuiApp) -> RewindMenu:
    return app.main.query_one(RewindMenu)


def offered(app: FtuiApp) -> list[str]:
    """The lines of the menu of checkpoints; none while it is closed."""
    options = menu(app).options if menu(app).display else []
    return [" ".join(str(option.prompt).split()) for option in options]


# Overfitting


@pytest.mark.parametrize("size", SIZES)
async def test_overfitting_is_said_with_its_evidence_and_what_to_press(
    shown: Shown, overfitted: ScriptedRun, size: tuple[int, int]
) -> None:
    async with shown(overfitted, size) as (app, pilot):
        await until(pilot, lambda: "train" in fit_line(app))
        said = fit_line(app)
        for words in ("overfit", "epoch 4", "0.41", "0.47", "0.3", "0.11", "b rewinds"):
            assert words in said
        line = app.main.query_one(FitLine)
        assert len(said) <= line.size.width
        assert line.region.bottom <= size[1] - 1
        if size == (200, 50):
            await pilot.press("z")
            await until(pilot, lambda: line.size.width > 190)
            assert fit_line(app) == (
                "overfitting: validation loss 0.41 (epoch 4) -> 0.47 (epoch 7), training "
                "0.3 -> 0.11; b rewinds to epoch 4, 2 freezes more"
            )


async def test_before_it_overfits_the_gap_is_told_and_moves(
    shown: Shown, early: ScriptedRun
) -> None:
    async with shown(early) as (app, pilot):
        await until(
            pilot, lambda: fit_line(app) == "train/validation gap 0.11, 0.0796 an epoch ago"
        )
        early.train_epoch(0.2, 0.4)
        await until(pilot, lambda: fit_line(app).startswith("train/validation gap 0.2"))


async def test_nothing_is_said_of_a_run_without_an_evaluation(shown: Shown, runs_dir: Path) -> None:
    run = ScriptedRun(runs_dir / "2026-11-23-resnet18-pets")
    run.start()
    run.train(5)
    async with shown(run) as (app, _):
        assert fit_line(app) == ""


async def test_a_run_that_overfitted_and_ended_can_be_forked(
    shown: Shown, overfitted: ScriptedRun
) -> None:
    overfitted.tell(e.RunStopped(overfitted.step, "command"))
    overfitted.die()
    async with shown(overfitted) as (app, pilot):
        await until(pilot, lambda: "B forks" in fit_line(app))
        assert "b rewinds" not in fit_line(app)


# Rewind


async def test_a_rewind_is_chosen_confirmed_pending_and_marked(
    shown: Shown, overfitted: ScriptedRun
) -> None:
    run = overfitted
    async with shown(run) as (app, pilot):
        await pilot.press("b")
        assert offered(app) == [
            "step 336 epoch 7 val loss 0.47 top-1 76.5 % newest",
            "step 288 epoch 6 val loss 0.45 top-1 75.5 %",
            "step 240 epoch 5 val loss 0.43 top-1 73.9 %",
            "step 192 epoch 4 val loss 0.41 top-1 71.2 % best",
            "step 144 epoch 3 val loss 0.48 top-1 66.8 %",
            "step 96 epoch 2 val loss 0.6 top-1 59.6 %",
            "step 48 epoch 1 val loss 0.9 top-1 47.7 %",
        ]
        assert menu(app).highlighted == 3  # where it began to overfit
        await pilot.press("enter")
        await until(pilot, lambda: "Go back to step 192?" in app.main.prompt.text)
        assert not run.commands()
        await pilot.press("y")
        await until(pilot, run.commands)
        (command,) = run.commands()
        assert command == c.Rewind(192, id=command.id, time=command.time)
        assert "rewind 192 ..." in app.main.query_one(StatusLine).text
        assert app.workspace.state is not None
        assert app.workspace.state.step == 336  # it isn't so before the worker says so

        run.tell(rewound(192, 336, "rewind 192"))
        run.step = 192
        run.apply(command)
        await until(pilot, lambda: caught_up(app, run))
        assert "rewind 192 ..." not in app.main.query_one(StatusLine).text
        assert app.main.body.active.target.has_focus
        await cursor_on(pilot, app, 192)
        assert "rewound: rewind 192" in plot(app)
        assert "gap" in fit_line(app)
        assert banner(app) == ""


async def test_only_checkpoints_that_are_there_are_offered(
    shown: Shown, early: ScriptedRun
) -> None:
    (early.folder / "checkpoints/step-00000144").rmdir()
    async with shown(early) as (app, pilot):
        await pilot.press("b")
        assert [line.split()[1] for line in offered(app)] == ["192", "96", "48"]
        assert menu(app).highlighted == 0
        assert offered(app)[0].endswith("newest best")
        await pilot.press("escape")
        await until(pilot, lambda: not offered(app))
        assert app.main.body.active.target.has_focus


async def test_at_the_plots_cursor_the_checkpoint_before_it_comes_first(
    shown: Shown, overfitted: ScriptedRun
) -> None:
    async with shown(overfitted) as (app, pilot):
        await cursor_on(pilot, app, 150)
        await pilot.press("b")
        highlighted = menu(app).highlighted
        assert highlighted is not None
        assert offered(app)[highlighted].startswith("step 144")


async def test_without_a_checkpoint_that_is_said(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, pilot):
        await pilot.press("b")
        await until(pilot, lambda: notices(app))
        assert notices(app) == ["There is no checkpoint to go back to yet; w writes one."]


async def test_a_run_without_a_worker_can_not_go_back(shown: Shown, early: ScriptedRun) -> None:
    early.die()
    async with shown(early) as (app, pilot):
        await pilot.press("b")
        await pilot.pause()
        assert offered(app) == []


def rewound(step: int, from_step: int, reason: str, by_guard: bool = False) -> e.Rewound:
    return e.Rewound(
        step=step,
        epoch=step // 48 + 1,
        from_step=from_step,
        from_epoch=from_step // 48 + 1,
        lr=0.005,
        options={},
        reason=reason,
        by_guard=by_guard,
    )


# Auto-RGN


async def test_norms_are_measured_and_shown_as_bars(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, pilot):
        await pilot.press("A")
        await until(pilot, lambda: isinstance(app.screen, NormsScreen))
        sheet = app.screen
        assert isinstance(sheet, NormsScreen)
        await until(pilot, lambda: "Nothing was measured" in sheet.text)
        assert "Everything trains from then on" in " ".join(sheet.text.split())
        await pilot.press("a")
        await until(pilot, run.commands)
        (command,) = run.commands()
        assert isinstance(command, c.AutoRGN)
        await until(pilot, lambda: "asked to measure" in sheet.text)
        run.tell(e.GradientsMeasured(step=200, norms={"layer1.0": 0.01, "layer4.1": 0.04}))
        run.apply(command)
        await until(pilot, lambda: "layer4.1" in sheet.text and "asked" not in sheet.text)
        rows = [line for line in sheet.text.splitlines() if line.startswith("layer")]
        assert [row.split()[-1] for row in rows] == ["0.01", "0.04"]
        full = [row.count("━") for row in rows]
        assert full[1] == 4 * full[0] + full[1] % 4
        assert rows[1].count("─") == 0
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)


async def test_norms_of_a_run_that_has_ended_are_only_shown(shown: Shown, run: ScriptedRun) -> None:
    run.tell(e.GradientsMeasured(step=200, norms={"layer1.0": 0.0}))
    run.die()
    async with shown(run, (80, 24), ascii_only=True) as (app, pilot):
        await pilot.press("A", "a")
        await until(pilot, lambda: isinstance(app.screen, NormsScreen) and app.screen.text)
        assert isinstance(app.screen, NormsScreen)
        assert "layer1.0" in app.screen.text
        assert not run.commands()
        lines = [strip.text for strip in app.screen._compositor.render_strips()]
        assert [line for line in lines if not line.isascii()] == []


async def test_the_palette_has_them_all(shown: Shown, early: ScriptedRun) -> None:
    async with shown(early) as (app, pilot):
        found = {command.name: command for command in Commands(app.main).commands()}
        assert {"Rewind", "Fork", "Auto-RGN"} <= set(found)
        await found["Rewind"].run()
        await until(pilot, lambda: offered(app))


# What the plots and the banner tell of it


async def test_the_moving_average_has_series_of_its_own(shown: Shown, run: ScriptedRun) -> None:
    average = run.evaluated(4, 0.5)
    run.tell(e.Evaluated(192, 4, "epoch", 0.5, {"top1": 0.7}, 250, 2.0, weights="ema"))
    assert average.weights == "raw"
    async with shown(run) as (app, pilot):
        assert plot(app).startswith("loss  ━ train  ● val  ◆ val ema")
        await pilot.press("f")
        assert plot(app).startswith("metrics  ● top-1  ◆ top-1 ema")


async def test_what_was_changed_is_marked(shown: Shown, run: ScriptedRun) -> None:
    run.tell(e.OptionChanged(200, "training.epochs", "20"))
    run.tell(e.PlanChanged(200, [], 9, "2 stages to come"))
    async with shown(run) as (app, pilot):
        await pilot.press("z")
        await cursor_on(pilot, app, 200)
        assert "epochs 20, 2 stages to come" in plot(app)


async def test_the_banner_tells_what_the_guard_did(shown: Shown, run: ScriptedRun) -> None:
    run.tell(rewound(192, 210, "the loss became nan at step 210", by_guard=True))
    run.step = 192
    async with shown(run) as (app, pilot):
        assert banner(app) == (
            "Rolled back from step 210 to 192, since the loss became nan at step 210; the base "
            "rate is 0.005 from there."
        )
        run.tell(rewound(192, 211, "the loss became inf at step 211", by_guard=True))
        await until(pilot, lambda: "(2 roll-backs so far)" in banner(app))


async def test_the_banner_tells_that_memory_is_short(shown: Shown, run: ScriptedRun) -> None:
    run.tell(e.MicroBatchHalved(step=200, pieces=4, samples=8))
    async with shown(run) as (app, _):
        assert "each batch goes through in 4 pieces" in banner(app)


@pytest.mark.parametrize("size", SIZES)
async def test_the_banner_tells_where_the_finished_model_is(
    shown: Shown,
    run: ScriptedRun,
    runs_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
) -> None:
    monkeypatch.chdir(runs_dir.parent)
    saved = e.ModelSaved(192, "model.safetensors", "best, epoch 4", 2**20)
    run.tell(saved, e.RunFinished(200))
    run.die()
    async with shown(run, size) as (app, pilot):
        assert banner(app).endswith(
            "The model (best, epoch 4, 1.0 MiB) is runs/2026-11-23-resnet18-pets/model.safetensors."
        )
        await pilot.pause()
        lines = [strip.text for strip in app.main._compositor.render_strips()]
        assert any("model.safetensors" in line for line in lines[:4])


# Generated texts


async def test_texts_are_shown_the_newest_first_and_nothing_in_them_is_obeyed(
    shown: Shown, run: ScriptedRun
) -> None:
    first = e.TextGenerated(step=100, epoch=1, prompt="the cat", text="[b]sat[/b]\x1b[2J\nthere")
    async with shown(run) as (app, pilot):
        await pilot.press("T")
        assert app.screen is app.main, "there are none yet"
        run.tell(first)
        await until(pilot, lambda: bool(app.workspace.state and app.workspace.state.generated))
        await pilot.press("T")
        await until(pilot, lambda: isinstance(app.screen, TextsScreen))
        sheet = app.screen
        assert isinstance(sheet, TextsScreen)
        await until(pilot, lambda: "step 100" in sheet.text)
        rows = [line.rstrip() for line in sheet.text.splitlines()]
        assert rows[:4] == ["epoch 1, step 100", "the cat", "[b]sat[/b]", "there"]
        run.tell(e.TextGenerated(step=200, epoch=2, prompt="the cat", text="slept"))
        await until(pilot, lambda: sheet.text.startswith("epoch 2, step 200"))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)
