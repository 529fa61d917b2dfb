"""The app on a run: what it shows of the journal, and what its keys ask of the worker."""

from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.plan import FREEZE_ALL, head_only, with_rule
from engine.contract.rules import Rule
from ftui.app import FtuiApp
from ftui.widgets.banner import Banner
from ftui.widgets.keyline import KeyLine
from ftui.widgets.module_tree.node import Mark
from ftui.widgets.status import StatusLine
from ftui.widgets.tabs import TabLine
from tests.ui.conftest import Shown, plot, until
from tests.ui.scripted import ScriptedRun


def status(app: FtuiApp) -> str:
    return app.main.query_one(StatusLine).text


def banner(app: FtuiApp) -> str:
    return app.main.query_one(Banner).text


def mark(app: FtuiApp, path: str) -> Mark:
    modules = app.main.panes[1].target.modules  # type: ignore[attr-defined]
    return modules.mark(modules.by_path[path])  # type: ignore[no-any-return]


def totals(app: FtuiApp) -> str:
    return app.main.panes[1].tree_pane.totals_line(80)  # type: ignore[attr-defined,no-any-return]


def notices(app: FtuiApp) -> list[str]:
    return [notice.message for notice in app._notifications]


async def sent(pilot: Pilot[None], run: ScriptedRun, count: int = 1) -> c.AnyCommand:
    """The newest command, once there are `count`."""
    await until(pilot, lambda: len(run.commands()) == count)
    return run.commands()[-1]


async def test_an_end_that_hangs_is_ended_by_force(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[int] = []
    monkeypatch.setattr("ftui.app._SECONDS_TO_END", 0.0)
    monkeypatch.setattr("os._exit", forced.append)
    async with shown(None) as (app, pilot):
        monkeypatch.setattr(app, "exit", lambda: None)
        app.end()
        await until(pilot, lambda: forced)
    assert forced == [1]


async def test_attaching_shows_how_far_the_run_is(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, _):
        assert "2026-11-23-resnet18-pets  ▶ running" in status(app)
        assert "epoch  5/10" in status(app)
        assert " 41%" in status(app)
        assert app.workspace.state is not None
        assert len(app.workspace.state.loss) == 200
        assert mark(app, "fc") is Mark.TRAINABLE
        assert mark(app, "layer4") is Mark.FROZEN


async def test_the_training_loss_is_the_average_that_the_plot_draws(
    shown: Shown, run: ScriptedRun
) -> None:
    async with shown(run, (160, 50)) as (app, pilot):
        await until(pilot, lambda: "~" in plot(app))
        _, _, average = plot(app).partition("~")
        assert f"loss ~{average.split()[0]} " in status(app)


async def test_what_the_worker_tells_while_shown_is_shown(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, pilot):
        run.train(40)
        await until(pilot, lambda: " 50%" in status(app))


async def test_a_key_sends_its_command(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (_, pilot):
        for count, (key, kind) in enumerate(
            [("p", c.Pause), ("v", c.Evaluate), ("w", c.Checkpoint)], 1
        ):
            await pilot.press(key)
            assert isinstance(await sent(pilot, run, count), kind)


async def test_a_paused_run_goes_on_by_the_same_key(shown: Shown, run: ScriptedRun) -> None:
    run.tell(e.RunPaused(run.step))
    async with shown(run) as (app, pilot):
        assert "‖ paused" in status(app)
        await pilot.press("p")
        assert isinstance(await sent(pilot, run), c.Resume)


async def test_a_toggle_is_pending_until_the_worker_says_it_was_applied(
    shown: Shown, run: ScriptedRun
) -> None:
    async with shown(run) as (app, pilot):
        await pilot.press("2")
        app.main.panes[1].target.select("layer4")  # type: ignore[attr-defined]
        await pilot.press("space")
        command = await sent(pilot, run)
        assert isinstance(command, c.Thaw)
        assert command.pattern == "layer4"
        assert "pending" in totals(app)
        assert mark(app, "layer4") is Mark.FROZEN  # it isn't so before the worker says so

        run.plan(with_rule(head_only(run.model), Rule("layer4")), "thaw layer4")
        run.apply(command)
        await until(pilot, lambda: mark(app, "layer4") is Mark.TRAINABLE)
        await until(pilot, lambda: "pending" not in totals(app))


async def test_a_rejected_toggle_falls_back_and_says_why(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, pilot):
        await pilot.press("2", "G", "space")
        command = await sent(pilot, run)
        assert isinstance(command, c.Freeze)
        assert command.pattern == "fc"
        run.reject(command, "Nothing would train any more.")
        await until(pilot, lambda: "pending" not in totals(app))
        assert mark(app, "fc") is Mark.TRAINABLE
        await until(pilot, lambda: "Nothing would train any more." in notices(app))


async def test_undo_asks_the_worker_for_the_plan_before(shown: Shown, run: ScriptedRun) -> None:
    before, after = head_only(run.model), with_rule(head_only(run.model), Rule("layer4"))
    async with shown(run) as (app, pilot):
        await pilot.press("u")
        assert notices(app) == ["There is nothing to undo."]
        run.plan(after, "thaw layer4")
        await until(pilot, lambda: mark(app, "layer4") is Mark.TRAINABLE)
        await pilot.press("u")
        command = await sent(pilot, run)
        assert isinstance(command, c.SetPlan)
        assert command.rules == before
        run.plan(before, "plan")
        run.apply(command)
        await until(pilot, lambda: mark(app, "layer4") is Mark.FROZEN)
        await pilot.press("U")
        command = await sent(pilot, run, 2)
        assert isinstance(command, c.SetPlan)
        assert command.rules == after


async def test_a_preset_of_a_living_run_replaces_its_plan(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (_, pilot):
        await pilot.press("2", "m", "down", "enter")
        command = await sent(pilot, run)
        assert isinstance(command, c.SetPlan)
        assert command.rules == [FREEZE_ALL, Rule("last:1")]


async def test_the_learning_rate_is_asked_for_on_one_line(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, pilot):
        await pilot.press("r", *"fast", "enter")
        assert "A number above 0" in app.main.prompt.text
        await pilot.press("ctrl+u", *"0.003", "enter")
        command = await sent(pilot, run)
        assert command == c.SetLearningRate(0.003, id=command.id, time=command.time)
        assert app.main.prompt.text == ""
        assert app.main.body.active.target.has_focus


async def test_a_prompt_is_left_without_sending(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, pilot):
        for key in ("escape", "ctrl+g"):
            await pilot.press("r", *"0.5", key)
            await until(pilot, lambda: app.main.prompt.text == "")
            assert not run.commands()


async def test_stopping_is_confirmed(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, pilot):
        await pilot.press("x")
        assert "Stop this run?" in app.main.prompt.text
        await pilot.press("n")
        assert app.main.prompt.text == ""
        await pilot.press("x", "y")
        assert isinstance(await sent(pilot, run), c.Stop)


async def test_a_worker_that_died_is_told_at_once(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, pilot):
        run.die()
        await until(pilot, lambda: "✗ crashed" in status(app))
        assert "The worker is gone, at step 200 of 480" in banner(app)
        assert "R resumes" in banner(app)
        await pilot.press("p")  # not a key of a dead run
        assert not run.commands()


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([e.RunStopped(200, "SIGTERM")], "Stopped by SIGTERM at step 200 of 480"),
        ([e.RunFailed(200, "The disk is full.", True)], "The disk is full. R tries again."),
        ([e.RunFailed(200, "KeyError: 'x'", False)], "worker.log"),
        (
            [e.EarlyStopped(200, "val_loss", 0.5, 3), e.RunFinished(200)],
            "Stopped early: val_loss was not better for 3 evaluations",
        ),
        (
            [e.ModelSaved(96, "m.safetensors", "best, epoch 2", 9), e.RunFinished(200)],
            "epochs: validation top-1 59.6 %, loss 1.052. The model (best, epoch 2, 9 B) is ",
        ),
    ],
)
async def test_every_end_has_its_words(
    shown: Shown, run: ScriptedRun, events: list[e.AnyEvent], words: str
) -> None:
    run.tell(*events)
    run.die()
    async with shown(run) as (app, _):
        assert words in banner(app)


async def test_a_folder_that_vanishes_is_told(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, pilot):
        for file in run.folder.iterdir():
            file.unlink()
        run.folder.rmdir()
        await until(pilot, lambda: "✗ lost" in status(app))
        assert "can't be read any more" in banner(app)


async def test_markup_in_what_a_run_says_is_only_text(shown: Shown, run: ScriptedRun) -> None:
    run.tell(e.Warned("[red]bold[/] \x1b[2J and [/nonsense]"))
    async with shown(run) as (app, _):
        assert "[red]bold[/]" in banner(app)
        assert "\x1b" not in banner(app)


async def test_leaving_a_living_run_says_that_training_goes_on(
    shown: Shown, run: ScriptedRun
) -> None:
    async with shown(run) as (app, pilot):
        await pilot.press("q")
        await until(pilot, lambda: app._exit)
        assert "Training goes on" in str(app._exit_renderables[0])
        assert not run.commands()


async def test_at_80x24_panes_are_tabs(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run, (80, 24)) as (app, pilot):
        for number, pane in enumerate(app.main.panes, 1):
            await pilot.press(str(number))
            await pilot.pause()
            assert app.main.body.visible_panes == [pane]
            assert pane.region.height >= 20
            assert f"[{number} {pane.title}]" in str(app.main.query_one(TabLine).render())


async def test_at_40x10_it_is_still_usable(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run, (40, 10)) as (app, pilot):
        await pilot.press("2")
        await pilot.pause()
        assert "▶ running" in status(app)
        assert app.main.panes[1].target.size.height >= 5


async def test_zoom_gives_one_pane_the_screen_and_back(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, pilot):
        await pilot.press("2", "z")
        await pilot.pause()
        assert app.main.panes[1].region.width == 120
        await pilot.press("5")
        await pilot.pause()
        assert [pane.number for pane in app.main.body.visible_panes] == [5]
        await pilot.press("z")
        await pilot.pause()
        assert [pane.number for pane in app.main.body.visible_panes] == [1, 2, 3, 4, 5]


async def test_tab_goes_round_the_panes(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, pilot):
        numbers = []
        for _ in range(5):
            await pilot.press("tab")
            numbers.append(app.main.body.active.number)
        assert numbers == [5, 1, 2, 3, 4]
        await pilot.press("shift+tab")
        assert app.main.body.active.number == 3


async def test_the_configuration_takes_the_place_of_the_plots(
    shown: Shown, run: ScriptedRun
) -> None:
    async with shown(run) as (app, pilot):
        plots = app.main.panes[3]
        before = plots.region
        await pilot.press("6")
        await pilot.pause()
        assert app.main.panes[5].region == before
        assert not plots.display


async def test_runs_are_listed_and_opened(shown: Shown, run: ScriptedRun, runs_dir: Path) -> None:
    other = ScriptedRun(runs_dir / "2026-11-22-resnet18-birds")
    other.start()
    other.die()
    async with shown(run) as (app, pilot):
        await until(pilot, lambda: app.workspace.runs)
        await pilot.press("5")
        lines = app.main.panes[4].target
        await until(pilot, lambda: "11-22-resnet18" in lines.text)  # type: ignore[attr-defined]
        await pilot.press("G", "enter")
        await until(pilot, lambda: "2026-11-22-resnet18-birds" in status(app))
        await until(pilot, lambda: "✗ crashed" in status(app))


async def test_no_runs_and_no_model_are_said_in_words(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        await until(pilot, lambda: app.workspace.runs is not None)
        assert "no model chosen" in status(app)
        await pilot.press("5")
        lines = app.main.panes[4].target
        await until(pilot, lambda: "No runs in" in lines.text)  # type: ignore[attr-defined]
        await pilot.press("s")
        await until(pilot, lambda: notices(app) == ["Choose a model first (1)."])


async def test_a_new_draft_takes_the_run_s_config(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, pilot):
        in_force = app.workspace.config
        await pilot.press("n")
        await until(pilot, lambda: "✎ draft" in status(app))
        assert app.workspace.draft.config == in_force
        assert app.workspace.draft.missing == ""
        await pilot.press("2", "G", "space")
        await until(pilot, lambda: mark(app, "fc") is Mark.FROZEN)
        await pilot.press("u")
        await until(pilot, lambda: mark(app, "fc") is Mark.TRAINABLE)
        assert not run.commands()


async def test_every_theme_draws(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run, theme="ftui-light") as (app, pilot):
        assert app.theme == "ftui-light"
        for theme in ("ftui-dark", "ftui-contrast", "ftui-ansi"):
            app.theme = theme
            for key in "456":  # the others are shown beside them
                await pilot.press(key)
                await pilot.pause()


async def test_ascii_draws_nothing_else(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run, ascii_only=True) as (app, pilot):
        for key in "123456":
            await pilot.press(key)
            await pilot.pause()
            lines = [strip.text for strip in app.main._compositor.render_strips()]
            assert [line for line in lines if not line.isascii()] == []
        await pilot.press("2")
        assert "enter Open" in app.main.query_one(KeyLine).text
