"""Help and palette: both tell what the bindings tell."""

import pytest
from textual.binding import Binding

from engine.contract.methods import METHODS
from engine.contract.plan import FREEZE_ALL
from engine.contract.rules import Rule
from ftui.app import FtuiApp
from ftui.draft import Draft
from ftui.palette import Commands
from ftui.panes.modules import ModulesPane
from ftui.screens.help import HelpScreen, keys_of, sections_of
from ftui.screens.main import MainScreen
from ftui.widgets.lines import Lines
from tests.ui.conftest import Shown, until
from tests.ui.scripted import CONFIG, ScriptedRun, resnet18


def names(app: FtuiApp) -> list[str]:
    return [command.name for command in Commands(app.main).commands()]


async def test_help_opens_and_closes_by_several_keys(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        for key in ("question_mark", "f1", "q", "escape", "enter"):
            await pilot.press("question_mark")
            assert isinstance(app.screen, HelpScreen)
            await pilot.press(key)
            await until(pilot, lambda: app.screen is app.main)
            assert app.is_running


async def test_help_holds_every_key_that_has_words(shown: Shown) -> None:
    async with shown(None, size=(110, 30)) as (app, pilot):
        await pilot.press("f1")
        assert isinstance(app.screen, HelpScreen)
        await until(pilot, lambda: app.screen.text)
        text = app.screen.text
        for node in (app, app.main, *app.main.panes):
            for binding in Binding.make_bindings(type(node).BINDINGS):
                if binding.id:
                    assert binding.tooltip in text
                    assert app.get_key_display(binding) in text
        assert "Train or freeze it with all below it" in text
        for method in METHODS.values():
            assert method.label in text
            assert method.paper in text


@pytest.mark.parametrize(("size", "beside"), [((80, 24), 1), ((120, 40), 2), ((200, 50), 3)])
async def test_help_takes_the_width_there_is(
    shown: Shown, size: tuple[int, int], beside: int
) -> None:
    async with shown(None, size=size) as (app, pilot):
        await pilot.press("f1")
        assert isinstance(app.screen, HelpScreen)
        await until(pilot, lambda: app.screen.text)
        lines = app.screen.query_one(Lines)
        column = (lines.room + 2) // beside
        first, *rest = app.screen.text.splitlines()
        starts = [first[at : at + 1] for at in range(0, beside * column, column)]
        assert all(title.isupper() for title in starts)
        assert max(map(len, map(str.rstrip, rest))) <= lines.room


async def test_help_begins_with_the_active_pane_after_what_holds_everywhere(shown: Shown) -> None:
    async with shown(None, size=(110, 30)) as (app, pilot):
        await pilot.press("5", "question_mark")
        assert isinstance(app.screen, HelpScreen)
        await until(pilot, lambda: app.screen.text)
        titles = [line for line in app.screen.text.splitlines() if line and line[0] != " "]
        assert titles[:3] == ["Everywhere", "Runs", "Model"]
        assert len(titles) == 9
        assert app.screen.text.count("Go down a line") == 1


async def test_help_scrolls_on_a_small_terminal(shown: Shown) -> None:
    async with shown(None, size=(40, 10)) as (app, pilot):
        await pilot.press("question_mark", "end")
        lines = app.screen.query_one(Lines)
        assert lines.scroll_offset.y == lines.max_scroll_y > 0


def test_an_action_is_told_once_with_all_its_keys() -> None:
    (down,) = [key for key in keys_of([Lines(), Lines()]) if key.action == "move(1)"]
    assert down.keys == ("down", "j")
    assert down.tooltip == "Go down a line"


async def test_a_section_names_no_key_for_two_actions_of_one_widget(shown: Shown) -> None:
    async with shown(None) as (app, _):
        sections = {section.title: section for section in sections_of(app.main, app.main.panes)}
        model = [key.tooltip for key in sections["Model"].keys if "enter" in key.keys]
        assert "Choose this model" in model
        assert "Open what the cursor is on" not in model


async def test_the_palette_offers_what_makes_sense_now(shown: Shown, run: ScriptedRun) -> None:
    async with shown(None) as (app, _):
        assert "Start" in names(app)
        assert "Pause" not in names(app)
    async with shown(run) as (app, _):
        offered = names(app)
        assert "Pause" in offered
        assert "Start" not in offered
        assert {"Go to Model", "Configuration: Save", "Preset: last block"} <= set(offered)
        assert {"Theme: ftui-light", "Theme: ftui-ansi"} <= set(offered)
        assert len(offered) == len(set(offered))


async def test_the_palette_tells_key_and_tooltip(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, _):
        found = {command.name: command.help for command in Commands(app.main).commands()}
        (write,) = [b for b in MainScreen.BINDINGS if isinstance(b, Binding) and b.key == "w"]
        assert found[write.description] == f"{write.tooltip} (key w)"


async def test_a_theme_is_chosen_by_typing_in_the_palette(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        await pilot.press("ctrl+p", *"light")
        await pilot.pause()
        await app.workers.wait_for_complete()
        await pilot.press("enter")
        await until(pilot, lambda: app.theme == "ftui-light")


async def test_an_action_of_a_pane_goes_there_and_does_it(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        found = {command.name: command.run for command in Commands(app.main).commands()}
        await found["Configuration: Text"]()
        await pilot.pause()
        assert app.main.body.active.title == "Configuration"
        assert app.main.body.active.has_class("-text")


async def test_a_preset_changes_the_drafts_plan(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        app.workspace.draft = Draft(CONFIG, resnet18())
        app.main.show()
        found = {command.name: command.run for command in Commands(app.main).commands()}
        found["Preset: last block"]()
        await until(pilot, lambda: app.workspace.draft.config.trainable)
        assert app.workspace.rules == [FREEZE_ALL, Rule("last:1")]
        assert app.main.query_one(ModulesPane).target.display
