"""The config of a run that is open: what can be changed while it lives."""

from engine.contract import commands as c
from engine.contract import events as e
from ftui.panes.configuration import ConfigurationPane
from ftui.widgets.status import StatusLine
from tests.ui.conftest import Shown, until
from tests.ui.scripted import ScriptedRun
from tests.ui.test_configuration import form, go_to, notices, row, said, typed


async def test_the_config_of_a_run_that_has_ended_is_only_shown(
    shown: Shown, run: ScriptedRun
) -> None:
    run.tell(e.RunStopped(run.step, "command"))
    run.die()
    async with shown(run) as (app, pilot):
        await go_to(pilot, app, "training.epochs")
        assert row(app, "training.epochs") == "  epochs           10"
        await pilot.press("enter")
        await until(pilot, lambda: notices(app))
        assert notices(app) == ["This is the open run's config; n makes a draft of it, B forks it."]
        assert not form(app).editing
        before = app.workspace.config
        await go_to(pilot, app, "data.augment")
        await pilot.press("right", "d", "ctrl+o")
        await pilot.pause()
        assert app.workspace.config == before
        assert not app.main.query_one(ConfigurationPane).prompt.display


async def test_a_living_run_takes_some_settings_and_says_which_it_does_not(
    shown: Shown, run: ScriptedRun
) -> None:
    async with shown(run) as (app, pilot):
        await go_to(pilot, app, "data.batch_size")
        assert row(app, "data.batch_size") == "  batch_size       32"
        assert said(app).startswith("data.batch_size, fixed (B forks it)  Pictures")
        await pilot.press("enter", "d")
        await until(pilot, lambda: len(notices(app)) == 2)
        why = "data.batch_size is fixed while a run trains; a fork can change it."
        assert notices(app) == [why, why]
        assert not form(app).editing
        await go_to(pilot, app, "training.epochs")
        assert row(app, "training.epochs") == "  epochs           10  live"
        assert said(app).startswith("training.epochs, live  Passes")
        assert not run.commands()


async def test_a_live_setting_is_pending_until_the_worker_says_it_was_applied(
    shown: Shown, run: ScriptedRun
) -> None:
    async with shown(run) as (app, pilot):
        await go_to(pilot, app, "training.epochs")
        await pilot.press("enter")
        await typed(pilot, "20")
        await pilot.press("enter")
        await until(pilot, run.commands)
        (command,) = run.commands()
        assert command == c.SetOption("training.epochs", "20", id=command.id, time=command.time)
        assert row(app, "training.epochs") == "  epochs           10  20 pending"
        assert "epochs 20 ..." in app.main.query_one(StatusLine).text
        assert not form(app).editing
        run.tell(e.OptionChanged(run.step, "training.epochs", "20"))
        run.apply(command)
        await until(pilot, lambda: row(app, "training.epochs") == "* epochs           20  live")
        await until(pilot, lambda: "epochs 20 ..." not in app.main.query_one(StatusLine).text)
        assert "epoch  5/20" in app.main.query_one(StatusLine).text


async def test_a_live_setting_that_is_rejected_falls_back(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, pilot):
        await go_to(pilot, app, "data.augment")
        await pilot.press("right")
        await until(pilot, run.commands)
        (command,) = run.commands()
        run.reject(command, "Not now.")
        await until(pilot, lambda: "Not now." in notices(app))
        await until(pilot, lambda: row(app, "data.augment") == "  augment          standard  live")


async def test_a_value_that_does_not_fit_is_not_sent(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, pilot):
        await go_to(pilot, app, "training.epochs")
        await pilot.press("enter")
        await typed(pilot, "many")
        await pilot.press("enter")
        await until(pilot, lambda: form(app).wrong)
        assert form(app).wrong.startswith("training.epochs must be a whole number")
        assert not run.commands()


async def test_the_rate_of_a_living_run_is_the_one_in_force_and_has_its_own_command(
    shown: Shown, run: ScriptedRun
) -> None:
    run.tell(e.LearningRateChanged(run.step, 0.003))
    async with shown(run) as (app, pilot):
        await go_to(pilot, app, "optimizer.lr")
        assert row(app, "optimizer.lr") == "* lr               0.003  live"
        await pilot.press("enter")
        await typed(pilot, "1e-3")
        await pilot.press("enter")
        await until(pilot, run.commands)
        (command,) = run.commands()
        assert command == c.SetLearningRate(0.001, id=command.id, time=command.time)
        assert row(app, "optimizer.lr") == "* lr               0.003  0.001 pending"
