"""The plan made in the tree: in a draft at once, of a living run by one command for each edit."""

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from engine.contract import commands as c
from engine.contract.plan import FREEZE_ALL, TRAIN_ALL, head_only, resolve, with_rule
from engine.contract.rules import Rule, Stage
from ftui.app import FtuiApp
from ftui.draft import Draft
from ftui.palette import Commands
from ftui.widgets.module_tree import ModuleTree
from ftui.widgets.module_tree.editor import RowEditor
from tests.ui.conftest import Shown, until
from tests.ui.scripted import CONFIG, ScriptedRun, resnet18
from tests.ui.test_app import notices, sent, totals

PROBE = head_only(resnet18())
FC, LAYER4 = Rule("fc"), Rule("layer4")


def tree(app: FtuiApp) -> ModuleTree:
    return app.main.query_one(ModuleTree)


async def with_draft(app: FtuiApp, pilot: Pilot[None]) -> None:
    app.workspace.draft = Draft(CONFIG, resnet18())
    app.main.show()
    await pilot.press("2")


async def at(app: FtuiApp, pilot: Pilot[None], path: str) -> None:
    await pilot.press("2")
    tree(app).select(path)
    await pilot.pause()


def stage_line(app: FtuiApp) -> str:
    line = app.main.query_one("#modules-stage")
    return str(line.content) if line.display else ""  # type: ignore[attr-defined]


async def test_a_drafts_plan_is_made_by_keys_and_undone_edit_by_edit(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        await with_draft(app, pilot)
        seen = [PROBE]
        for path, keys in [
            ("layer4", ["equals_sign", *"0.1", "enter"]),
            ("layer4", ["plus"]),
            ("fc", ["i"]),
            ("layer3", ["a"]),
            ("layer3", ["L", *"16", "enter"]),
            ("layer3", ["D"]),
        ]:
            await at(app, pilot, path)
            await pilot.press(*keys)
            seen.append(app.workspace.rules)
        assert seen[1:] == [
            [*PROBE, Rule("layer4", lr_scale=0.1)],
            [*PROBE, Rule("layer4", lr_scale=0.2)],
            [FREEZE_ALL, Rule("layer4", lr_scale=0.2), Rule("fc", reinit=True)],
            [*seen[3], Rule("layer3", lora=8)],
            [*seen[3], Rule("layer3", lora=16)],
            [*seen[3], Rule("layer3", lora=16, dora=True)],
        ]
        for rules in reversed(seen[:-1]):
            await pilot.press("u")
            assert app.workspace.rules == rules
        await pilot.press("U")
        assert app.workspace.rules == seen[1]


async def test_several_modules_are_one_edit_and_one_undo(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        await with_draft(app, pilot)
        await at(app, pilot, "layer2")
        await pilot.press("V", "j", "j", "equals_sign", *"0.5", "enter")
        layers = [Rule(path, lr_scale=0.5) for path in ("layer2", "layer3", "layer4")]
        assert app.workspace.rules == [*PROBE, *layers]
        await pilot.press("u")
        assert app.workspace.rules == PROBE


async def test_adapters_on_the_whole_model_spare_the_head(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        await with_draft(app, pilot)
        await pilot.press("g", "a")
        assert app.workspace.rules == [Rule("*", lora=8), FC]
        await pilot.press("a")
        assert app.workspace.rules == PROBE


async def test_adapters_that_are_taken_away_leave_the_plan_of_before(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        await with_draft(app, pilot)
        before = [*PROBE, Rule("layer4", lr_scale=0.1), Rule("layer3.1.bn2")]
        app.workspace.draft.set_rules(before)
        app.main.show()
        for path in ("layer4", "layer3", "layer3.1.conv2"):
            await at(app, pilot, path)
            await pilot.press("a")
            assert app.workspace.rules != before
            await pilot.press("a")
            assert app.workspace.rules == before
        await at(app, pilot, "layer4")
        await pilot.press("a")
        await at(app, pilot, "layer3")  # what was changed meanwhile stays
        await pilot.press("space")
        await at(app, pilot, "layer4")
        await pilot.press("a")
        model = resnet18()
        wanted = resolve([*before, Rule("layer3")], model)
        assert resolve(app.workspace.rules, model) == wanted


async def test_what_changes_nothing_is_nothing_to_undo(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        await with_draft(app, pilot)
        await at(app, pilot, "fc")
        await pilot.press("equals_sign", "1", "enter", "u")
        assert app.workspace.rules == PROBE
        assert notices(app) == ["There is nothing to undo."]


@pytest.mark.parametrize(
    ("path", "keys", "command"),
    [
        ("layer4", ["space"], c.Thaw("layer4")),
        ("fc", ["space"], c.Freeze("fc")),
        ("layer4", ["equals_sign", *"0.1", "enter"], c.Thaw("layer4", 0.1)),
        ("fc", ["minus"], c.Thaw("fc", 0.5)),
        ("layer4", ["a"], c.SetPlan([*PROBE, Rule("layer4", lora=8)])),
        ("layer3", ["v", "j", "space"], c.SetPlan([*PROBE, Rule("layer3"), LAYER4])),
    ],
)
async def test_a_living_run_gets_one_command_for_an_edit(
    shown: Shown, run: ScriptedRun, path: str, keys: list[str], command: c.AnyCommand
) -> None:
    async with shown(run) as (app, pilot):
        await at(app, pilot, path)
        await pilot.press(*keys)
        asked = await sent(pilot, run)
        assert replace(asked, id=command.id, time=command.time) == command
        assert "pending" in totals(app)


async def test_edits_that_wait_for_the_worker_are_built_upon(
    shown: Shown, run: ScriptedRun
) -> None:
    async with shown(run) as (app, pilot):
        await at(app, pilot, "layer4")
        await pilot.press("space", "k", "a")
        command = await sent(pilot, run, 2)
        assert isinstance(command, c.SetPlan)
        assert command.rules == [*PROBE, LAYER4, Rule("layer3", lora=8)]
        assert {"layer3", "layer4", "layer4.1.conv1"} <= set(tree(app)._pending)
        assert "layer2" not in tree(app)._pending


async def test_what_a_living_run_has_learnt_is_not_thrown_away_by_a_slip(
    shown: Shown, run: ScriptedRun
) -> None:
    async with shown(run) as (app, pilot):
        await at(app, pilot, "fc")
        await pilot.press("i")
        assert "New weights for 1 module? What was learnt there is lost." in app.main.prompt.text
        await pilot.press("n")
        assert not run.commands()
        await pilot.press("i", "y")
        command = await sent(pilot, run)
        assert isinstance(command, c.SetPlan)
        assert command.rules == [FREEZE_ALL, Rule("fc", reinit=True)]
        reason = "trainable: fc.weight can't be re-initialised: Net has no reset_parameters."
        run.reject(command, reason)
        await until(pilot, lambda: reason in notices(app))
        assert app.workspace.wanted_rules == PROBE


async def test_an_ended_run_is_not_edited(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, pilot):
        await at(app, pilot, "layer4")
        run.die()
        await until(pilot, lambda: app.workspace.ended)
        await pilot.press("equals_sign", *"0.1", "enter")
        assert not run.commands()
        assert "No worker is on this run" in notices(app)[-1]


async def test_the_next_stage_stands_below_the_tree(shown: Shown, run: ScriptedRun) -> None:
    stages = [
        Stage(after="2 epochs", trainable=[Rule("layer4", lr_scale=0.1), Rule("fc", lora=8)]),
        Stage(after="stalled 1", trainable=[TRAIN_ALL]),
    ]
    async with shown(run) as (app, pilot):
        assert stage_line(app) == ""
        run.plan(PROBE, "", stages)
        words = "after 2 epochs: train layer4 0.1x, train fc lora 8 (+1 stage)"
        await until(pilot, lambda: stage_line(app) == words)
        run.plan(with_rule(PROBE, LAYER4), "stage 1", stages[1:])
        await until(pilot, lambda: stage_line(app) == "after 1 evaluation no better: train *")
        run.plan([TRAIN_ALL], "stage 2")
        await until(pilot, lambda: stage_line(app) == "")


async def test_a_staged_preset_brings_its_stages_and_undo_takes_them_back(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        await with_draft(app, pilot)
        found = {command.name: command.run for command in Commands(app.main).commands()}
        found["Preset: LP-FT"]()
        await until(pilot, lambda: app.workspace.stages)
        assert stage_line(app).startswith("after 5 epochs: train ")
        await pilot.press("u")
        assert stage_line(app) == ""
        await pilot.press("U", "m", "enter")  # another preset has none
        assert stage_line(app) == ""


async def test_the_palette_offers_the_edits(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        assert "Modules: LoRA" not in [x.name for x in Commands(app.main).commands()]
        await with_draft(app, pilot)
        found = {command.name: command for command in Commands(app.main).commands()}
        assert found["Modules: DoRA"].help.endswith("(key D)")
        assert {"Modules: lr scale", "Modules: New weights", "Modules: Plan"} <= set(found)
        await pilot.press("1")
        tree(app).select("layer4")
        await found["Modules: DoRA"].run()
        await until(pilot, lambda: app.workspace.rules[-1] == Rule("layer4", lora=8, dora=True))
        assert tree(app).has_focus
        await found["Modules: lr scale"].run()
        await until(pilot, lambda: app.main.query_one(RowEditor).has_focus)
