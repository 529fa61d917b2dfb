"""The plan as text: read, copied, saved, loaded, and printed by the command line."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from textual.pilot import Pilot

from engine.contract import commands as c
from engine.contract import events as e
from engine.contract import planfile
from engine.contract.config import Config
from engine.contract.plan import FREEZE_ALL, head_only
from engine.contract.rules import Rule, Stage
from ftui.app import FtuiApp
from ftui.cli.look import plan
from ftui.draft import Draft
from ftui.panes.plan import PlanText
from ftui.widgets.keyline import KeyLine
from ftui.widgets.module_tree import ModuleTree
from tests.ui.conftest import Shown, until
from tests.ui.scripted import CONFIG, ScriptedRun, resnet18
from tests.ui.test_app import notices, sent

PROBE = head_only(resnet18())
STAGES = [Stage(after="2 epochs", trainable=[Rule("layer4", lr_scale=0.1)])]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def text(app: FtuiApp) -> PlanText:
    return app.main.query_one(PlanText)


def words(app: FtuiApp) -> str:
    return str(text(app)._words.content)


async def with_draft(app: FtuiApp, pilot: Pilot[None], rules: list[Rule] = PROBE) -> None:
    app.workspace.draft = Draft(CONFIG, resnet18())
    app.workspace.draft.set_plan(planfile.Plan(rules, STAGES))
    app.main.show()
    await pilot.press("2", "P")
    await pilot.pause()


async def test_the_plan_is_shown_as_toml_and_follows_edits(shown: Shown) -> None:
    async with shown(None, (80, 24)) as (app, pilot):
        await with_draft(app, pilot)
        assert text(app).lines.has_focus
        assert text(app).lines.text == planfile.dump(PROBE, STAGES).rstrip("\n")
        assert "y Copy  ^s Export  ^o Import" in app.main.query_one(KeyLine).text
        app.workspace.draft.set_rules([FREEZE_ALL, Rule("fc", lr_scale=0.5)])
        app.main.show()
        assert "lr_scale = 0.5" in text(app).lines.text
        await pilot.press("u")
        assert "lr_scale = 0.5" not in text(app).lines.text


@pytest.mark.parametrize("key", ["P", "escape", "backspace"])
async def test_the_tree_comes_back_by_several_keys(shown: Shown, key: str) -> None:
    async with shown(None) as (app, pilot):
        await with_draft(app, pilot)
        await pilot.press(key)
        assert not text(app).display
        assert app.main.query_one(ModuleTree).has_focus


async def test_what_is_longer_than_the_pane_goes_on_below(shown: Shown) -> None:
    long = Rule("re:" + "|".join(f"layer{n}.*" for n in range(1, 5)) * 8)
    async with shown(None) as (app, pilot):
        await with_draft(app, pilot, [*PROBE, long])
        lines = text(app).lines.text.splitlines()
        assert max(map(len, lines)) <= text(app).lines.room
        assert f'match = "{long.match}"' in "".join(lines)


async def test_a_copy_is_the_whole_text(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        await with_draft(app, pilot)
        await pilot.press("y")
        assert app.clipboard == planfile.dump(PROBE, STAGES)
        assert "OSC 52" in notices(app)[-1]


async def test_an_export_proposes_a_name_and_asks_before_it_replaces(
    shown: Shown, here: Path
) -> None:
    async with shown(None) as (app, pilot):
        await with_draft(app, pilot)
        await pilot.press("ctrl+s", "enter")
        assert planfile.load(here / "plan.toml") == planfile.Plan(PROBE, STAGES)
        assert notices(app) == ["Saved to plan.toml."]
        assert text(app).lines.has_focus

        (here / "plan.toml").write_text("mine")
        await pilot.press("ctrl+s", "enter")
        assert text(app).prompt.text == "plan.toml is there already. Replace it? y/n"
        await pilot.press("n")
        assert (here / "plan.toml").read_text() == "mine"
        await pilot.press("ctrl+s", "enter", "y")
        assert planfile.load(here / "plan.toml") == planfile.Plan(PROBE, STAGES)
        assert text(app).lines.has_focus


async def test_an_export_that_fails_says_why_and_asks_again(shown: Shown, here: Path) -> None:
    async with shown(None) as (app, pilot):
        await with_draft(app, pilot)
        await pilot.press("ctrl+s", "ctrl+u", *"no/where.toml", "enter")
        assert words(app) == (
            "no/where.toml: the plan can't be written there (No such file or directory)."
        )
        assert text(app).prompt.text == "Save to: Not saved."
        await pilot.press("ctrl+u", *"p.toml", "enter")
        assert (here / "p.toml").is_file()
        assert "The last rule that matches" in words(app)


async def test_an_import_is_the_drafts_plan_and_one_undo(shown: Shown, here: Path) -> None:
    wanted = planfile.Plan([FREEZE_ALL, Rule("layer3")])
    (here / "other.toml").write_text(planfile.dump(wanted.trainable))
    async with shown(None) as (app, pilot):
        await with_draft(app, pilot)
        await pilot.press("ctrl+o", *"other.toml", "enter")
        await until(pilot, lambda: app.workspace.rules == wanted.trainable)
        assert app.workspace.stages == []
        await pilot.press("u")
        assert app.workspace.rules == PROBE
        assert app.workspace.stages == STAGES


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "other.toml: there is no plan in it; it wants [[trainable]] rules."),
        ("[[trainable]]\nmatch = 3", "other.toml: trainable[0].match must be text that is"),
    ],
)
async def test_a_file_that_is_no_plan_is_not_taken(
    shown: Shown, here: Path, content: str, sentence: str
) -> None:
    (here / "other.toml").write_text(content)
    async with shown(None) as (app, pilot):
        await with_draft(app, pilot)
        await pilot.press("ctrl+o", *"other.toml", "enter")
        assert words(app).startswith(sentence)
        assert text(app).prompt.text == "Load: Not loaded."
        assert app.workspace.rules == PROBE


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (planfile.Plan([Rule("layer9")]), '"layer9" matches no parameter of torchvision/resnet18'),
        (
            planfile.Plan(PROBE, [Stage(after="1 epoch", trainable=[Rule("layer9")])]),
            '"layer9" matches no parameter of torchvision/resnet18',
        ),
        (
            planfile.Plan([Rule("*"), Rule("fc.weight", reinit=True)]),
            "fc.weight can't be re-initialised without fc.bias: a rule with reinit must match all",
        ),
    ],
)
async def test_a_plan_that_is_not_for_the_model_is_refused_in_the_engines_words(
    shown: Shown, here: Path, plan: planfile.Plan, sentence: str
) -> None:
    (here / "other.toml").write_text(planfile.dump(plan.trainable, plan.stages))
    async with shown(None) as (app, pilot):
        await with_draft(app, pilot)
        await pilot.press("ctrl+o", *"other.toml", "enter")
        await until(pilot, lambda: notices(app))
        assert sentence in notices(app)[-1]
        assert app.workspace.rules == PROBE


async def test_a_living_run_is_asked_for_an_imported_plan(
    shown: Shown, run: ScriptedRun, here: Path
) -> None:
    wanted = [FREEZE_ALL, Rule("layer3")]
    (here / "other.toml").write_text(planfile.dump(wanted, STAGES))
    async with shown(run) as (_, pilot):
        await pilot.press("2", "P", "ctrl+o", *"other.toml", "enter")
        await sent(pilot, run, 2)
        rules, stages = run.commands()
        assert isinstance(rules, c.SetPlan)
        assert rules.rules == wanted
        assert isinstance(stages, c.SetStages)
        assert stages.stages == STAGES


# The command line


def printed(run: str, runs_dir: Path) -> str:
    done = CliRunner().invoke(plan, [run, "--runs-dir", str(runs_dir)])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_plan_in_force_is_printed(run: ScriptedRun, runs_dir: Path) -> None:
    run.plan([*PROBE, Rule("layer4")], "thaw layer4", STAGES)
    shown = printed("2026", runs_dir)
    assert planfile.parse(shown, "") == planfile.Plan([*PROBE, Rule("layer4")], STAGES)


@pytest.mark.parametrize("told", [False, True])
def test_a_run_without_a_step_prints_what_was_asked(runs_dir: Path, told: bool) -> None:
    asked = Config(
        CONFIG.task, CONFIG.model, CONFIG.data, trainable=[FREEZE_ALL, Rule("bn1")], stages=STAGES
    )
    run = ScriptedRun(runs_dir / "new", asked)
    if told:
        run.tell(e.RunStarted(4321, "box", {}, asked))
    assert planfile.parse(printed("new", runs_dir), "") == planfile.Plan(asked.trainable, STAGES)


def test_a_run_that_asked_for_no_plan_says_what_that_means(runs_dir: Path) -> None:
    ScriptedRun(runs_dir / "new")
    assert printed("new", runs_dir) == "# No rules: only the head trains.\n"
