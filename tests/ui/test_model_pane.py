"""Searching, choosing and describing models."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rich.style import Style
from textual.pilot import Pilot
from textual.widgets import Static

from engine.contract.catalogue import CatalogueEntry
from engine.contract.config import Config, DataConfig, ModelConfig
from ftui.app import FtuiApp
from ftui.draft import Draft
from ftui.inspecting import ModelInspector
from ftui.panes.model import ModelPane
from ftui.widgets.catalogue import CatalogueList, Columns
from ftui.widgets.lines import Lines
from tests.ui.conftest import Shown, until
from tests.ui.inspectors import ENTRIES, FakeInspector
from tests.ui.scripted import ScriptedRun


@asynccontextmanager
async def opened(
    runs_dir: Path, inspector: ModelInspector, size: tuple[int, int] = (120, 40)
) -> AsyncIterator[tuple[FtuiApp, Pilot[None]]]:
    """The app on a draft, with the model pane active."""
    app = FtuiApp(runs_dir, inspector=inspector)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.focused, CatalogueList))
        yield app, pilot


def pane(app: FtuiApp) -> ModelPane:
    return app.main.query_one(ModelPane)


def listed(app: FtuiApp) -> list[str]:
    """Names in the list, top to bottom."""
    return [line[2:].split()[0] for line in app.main.query_one(CatalogueList).text.splitlines()]


def summary(app: FtuiApp) -> str:
    return app.main.query_one("#model-summary", Lines).text


async def typed(pilot: Pilot[None], text: str) -> None:
    await pilot.press(*[{" ": "space", "/": "slash"}.get(letter, letter) for letter in text])


@pytest.fixture
def inspector() -> FakeInspector:
    return FakeInspector()


async def test_the_catalogue_is_listed_with_figures_in_columns(
    runs_dir: Path, inspector: FakeInspector
) -> None:
    async with opened(runs_dir, inspector, (200, 50)) as (app, pilot):
        await until(pilot, lambda: listed(app))
        assert listed(app)[:3] == [
            "torchvision/resnet18",
            "torchvision/resnet50",
            "torchvision/resnet101",
        ]
        first = app.main.query_one(CatalogueList).text.splitlines()[0]
        assert first.split() == ["torchvision/resnet18", *["11.7M", "224", "69.8", "%", "47", "MB"]]
        assert pane(app).text == "6 models"


def test_columns_are_dropped_by_width_and_stay_aligned() -> None:
    for width in range(20, 120):
        columns = Columns(width)
        lines = [columns.line(entry, True, False) for entry in ENTRIES]
        assert {line.cell_length for line in lines} == {columns.header.cell_length}
        assert columns.header.cell_length <= max(width, 8)
    assert "on disk" in Columns(80).header.plain
    assert Columns(44).header.plain.split() == ["model", "params", "top-1"]
    assert Columns(30).header.plain.split() == ["model"]


async def test_typing_filters_and_enter_chooses_the_best(
    runs_dir: Path, inspector: FakeInspector
) -> None:
    async with opened(runs_dir, inspector) as (app, pilot):
        await until(pilot, lambda: listed(app))
        await pilot.press("slash")
        await typed(pilot, "rn18")
        assert listed(app) == ["torchvision/resnet18", "timm/resnet18"]
        assert pane(app).text.endswith("2 of 6 models")
        await pilot.press("down", "up", "enter")
        await until(pilot, lambda: app.workspace.draft.model)
        assert app.workspace.draft.config.model == ModelConfig(name="torchvision/resnet18")
        assert inspector.asked == [("torchvision/resnet18", "DEFAULT")]
        tree = app.main.panes[1].target
        await until(pilot, lambda: "layer4" in tree.modules.by_path)  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_head_is_for_the_classes_that_the_folders_of_the_data_tell(
    runs_dir: Path, inspector: FakeInspector, tmp_path: Path, size: tuple[int, int]
) -> None:
    for place, classes in (("three", 3), ("five/train", 5)):
        for number in range(classes):
            (tmp_path / place / str(number)).mkdir(parents=True)

    def head() -> int | None:
        model = app.workspace.draft.model
        return model.modules[-1].own["bias"] if model else None

    async with opened(runs_dir, inspector, size) as (app, pilot):
        await until(pilot, lambda: listed(app))
        await pilot.press("enter")
        await until(pilot, lambda: head() == 1000)
        await pilot.press("6")
        for path, classes in (("three", 3), ("five", 5), ("nowhere", 1000)):
            app.workspace.set_field("data.path", str(tmp_path / path))
            app.main.show()
            await until(pilot, lambda classes=classes: head() == classes)
            assert app.workspace.classes == (classes if classes < 1000 else None)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_data_that_is_chosen_while_a_model_is_looked_up_is_heeded(
    runs_dir: Path, inspector: FakeInspector, tmp_path: Path, size: tuple[int, int]
) -> None:
    for number in range(3):
        (tmp_path / "data" / str(number)).mkdir(parents=True)
    async with opened(runs_dir, inspector, size) as (app, pilot):
        await until(pilot, lambda: listed(app))
        inspector.let_go.clear()
        await pilot.press("enter")
        await until(pilot, lambda: len(inspector.asked) == 1)
        await pilot.press("6")
        app.workspace.set_field("data.path", str(tmp_path / "data"))
        app.main.show()
        inspector.let_go.set()
        await until(pilot, lambda: app.workspace.draft.model)
        assert app.workspace.classes == 3


async def test_a_search_without_result_says_so_and_enter_does_nothing(
    runs_dir: Path, inspector: FakeInspector
) -> None:
    async with opened(runs_dir, inspector) as (app, pilot):
        await until(pilot, lambda: listed(app))
        await pilot.press("slash")
        await typed(pilot, "zzz")
        assert listed(app) == []
        assert pane(app).text.startswith("No model is called so")
        await pilot.press("enter", "w")
        assert inspector.asked == []
        await pilot.press("slash", "ctrl+g")
        assert len(listed(app)) == 6
        assert isinstance(app.focused, CatalogueList)


async def test_words_while_the_catalogue_is_read_and_while_a_model_is_described(
    runs_dir: Path, inspector: FakeInspector
) -> None:
    inspector.let_go.clear()
    async with opened(runs_dir, inspector) as (app, pilot):
        assert pane(app).text == "reading the catalogue of models ..."
        inspector.let_go.set()
        await until(pilot, lambda: listed(app))
        inspector.let_go.clear()
        await pilot.press("enter")
        await until(pilot, lambda: "describing torchvision/resnet18 ..." in pane(app).text)
        inspector.let_go.set()
        await until(pilot, lambda: app.workspace.draft.model)
        assert "describing" not in pane(app).text


async def test_of_two_choices_the_later_one_wins(runs_dir: Path, inspector: FakeInspector) -> None:
    async with opened(runs_dir, inspector) as (app, pilot):
        await until(pilot, lambda: listed(app))
        inspector.let_go.clear()
        await pilot.press("enter", "down", "enter")
        await until(pilot, lambda: len(inspector.asked) == 2)
        inspector.let_go.set()
        await until(pilot, lambda: app.workspace.draft.model)
        await pilot.pause()
        assert app.workspace.draft.config.model.name == "torchvision/resnet50"


async def test_a_helper_that_fails_is_told_of_and_asked_again_by_a_key(
    runs_dir: Path, inspector: FakeInspector
) -> None:
    inspector.error = "The helper that reads models died."
    async with opened(runs_dir, inspector) as (app, pilot):
        await until(pilot, lambda: inspector.error in pane(app).text)
        assert "(r tries again)" in pane(app).text
        inspector.error = ""
        await pilot.press("r")
        await until(pilot, lambda: listed(app))
        assert "died" not in pane(app).text


async def test_a_model_that_cannot_be_described_leaves_the_draft_as_it_was(
    runs_dir: Path, inspector: FakeInspector
) -> None:
    async with opened(runs_dir, inspector) as (app, pilot):
        await until(pilot, lambda: listed(app))
        inspector.error = "The inspector failed [/] on it."
        await pilot.press("enter")
        await until(pilot, lambda: inspector.error in pane(app).text)
        assert app.workspace.draft.config.model.name == ""


async def test_weights_are_chosen_from_a_menu(runs_dir: Path, inspector: FakeInspector) -> None:
    async with opened(runs_dir, inspector) as (app, pilot):
        await until(pilot, lambda: listed(app))
        await pilot.press("down", "w", "j", "j", "enter")
        await until(pilot, lambda: app.workspace.draft.model)
        chosen = ModelConfig(name="torchvision/resnet50", weights="IMAGENET1K_V1")
        assert app.workspace.draft.config.model == chosen
        assert isinstance(app.focused, CatalogueList)


async def test_the_path_of_a_weights_file_is_typed(
    runs_dir: Path, inspector: FakeInspector, tmp_path: Path
) -> None:
    file = tmp_path / "mine.pth"
    async with opened(runs_dir, inspector) as (app, pilot):
        await until(pilot, lambda: listed(app))
        await pilot.press("w", "up", "enter")
        await typed(pilot, str(file))
        await pilot.press("enter")
        await until(pilot, lambda: "there is no such file" in pane(app).text)
        assert inspector.asked == []
        file.touch()
        await pilot.press("w", "up", "enter")
        await typed(pilot, str(file))
        await pilot.press("enter")
        await until(pilot, lambda: app.workspace.draft.model)
        assert app.workspace.draft.config.model.weights == str(file)


async def test_what_was_downloaded_is_marked(runs_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "resnet50-11ad3fa6.pth").touch()
    async with opened(runs_dir, FakeInspector(str(tmp_path)), (200, 50)) as (app, pilot):
        await until(pilot, lambda: listed(app))
        marked = app.main.query_one(CatalogueList).text.splitlines()
        assert [line for line in marked if line.endswith("✓")] == [marked[1]]
        await pilot.press("enter")
        await until(pilot, lambda: app.workspace.draft.model)
        await pilot.press("2")
        await until(pilot, lambda: "47 MB to download" in summary(app))
        await pilot.press("1", "down", "enter")
        await until(pilot, lambda: app.workspace.draft.config.model.name.endswith("resnet50"))
        await pilot.press("2")
        await until(pilot, lambda: "on disk" in summary(app))


async def test_the_summary_tells_what_was_chosen(runs_dir: Path, inspector: FakeInspector) -> None:
    async with opened(runs_dir, inspector) as (app, pilot):
        await until(pilot, lambda: listed(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.workspace.draft.model)
        await pilot.press("2")
        lines = summary(app).splitlines()
        assert lines[0] == "torchvision/resnet18"
        assert lines[2] == "11.7M params, 224 px, head fc"
        assert len(lines) == 3


async def test_the_model_of_a_loaded_draft_is_described(
    runs_dir: Path, inspector: FakeInspector
) -> None:
    async with opened(runs_dir, inspector) as (app, pilot):
        config = Config(
            task="image-classification",
            model=ModelConfig(name="torchvision/resnet18"),
            data=DataConfig(path="data"),
        )
        app.workspace.draft = Draft(config)
        app.main.show()
        await until(pilot, lambda: app.workspace.draft.model)
        assert inspector.asked == [("torchvision/resnet18", "DEFAULT")]


async def test_another_pooling_draws_the_tree_anew(
    runs_dir: Path, inspector: FakeInspector
) -> None:
    async with opened(runs_dir, inspector) as (app, pilot):
        draft = Draft(
            Config("text-classification", ModelConfig("hf/org/bert"), DataConfig("data.csv"))
        )
        app.workspace.draft = draft
        app.main.show()
        await until(pilot, lambda: draft.model)
        assert draft.set_field("text.pooling", "mean") is None
        app.main.show()
        await until(pilot, lambda: draft.model)
        assert inspector.poolings == ["auto", "mean"]


async def test_a_loaded_model_that_is_unknown_is_asked_about_once(
    runs_dir: Path, inspector: FakeInspector
) -> None:
    async with opened(runs_dir, inspector) as (app, pilot):
        await until(pilot, lambda: listed(app))
        inspector.error = "torchvision has no such model."
        app.workspace.draft.set_field("model.name", "torchvision/resnet19")
        app.main.show()
        await until(pilot, lambda: inspector.error in pane(app).text)
        for _ in range(3):
            app.main.show()
            await pilot.pause()
        assert len(inspector.asked) == 1


async def test_an_open_run_shows_its_model_and_no_search(shown: Shown, run: ScriptedRun) -> None:
    async with shown(run) as (app, pilot):
        await pilot.press("1")
        await pilot.pause()
        assert not app.main.query_one(CatalogueList).display
        assert "torchvision/resnet18" in summary(app)
        assert "head fc: 2 classes" in summary(app)
        assert "n makes a draft" in summary(app)


async def test_the_line_under_the_cursor_can_be_told(
    runs_dir: Path, inspector: FakeInspector
) -> None:
    async with opened(runs_dir, inspector) as (app, pilot):
        await until(pilot, lambda: listed(app))
        models = app.main.query_one(CatalogueList)

        def look(row: int) -> Style | None:
            return next(iter(models.render_line(row))).style

        here, other = look(0), look(1)
        assert here is not None
        assert other is not None
        assert here.bgcolor != other.bgcolor


async def test_choosing_a_model_of_another_task_sets_the_drafts(runs_dir: Path) -> None:
    tasks = ("semantic-segmentation",)
    entries = [*ENTRIES, CatalogueEntry("torchvision/fcn_resnet50", tasks=tasks)]
    inspector = FakeInspector(entries=entries)
    async with opened(runs_dir, inspector) as (app, pilot):
        await until(pilot, lambda: listed(app))
        assert app.workspace.draft.set_field("early_stopping.metric", "val_top1") is None
        for typing, task in (("fcn", "semantic-segmentation"), ("rn18", "image-classification")):
            await pilot.press("slash", "ctrl+u")
            await typed(pilot, typing)
            await pilot.press("enter")
            await until(pilot, lambda task=task: app.workspace.draft.config.task == task)
            assert app.workspace.draft.config.early_stopping.metric == "val_loss"
        assert inspector.tasks == ["semantic-segmentation", "image-classification"]


async def test_code_of_ones_own_runs_once_that_is_allowed(
    runs_dir: Path, inspector: FakeInspector
) -> None:
    async with opened(runs_dir, inspector) as (app, pilot):
        await until(pilot, lambda: listed(app))
        question = "Run the code in [b]net.py? It may do all that you may. y/n"
        app.workspace.draft.set_field("model.name", "[b]net.py:make")
        app.main.show()
        assert "r runs [b]net.py:make, your own code" in pane(app).text
        await pilot.press("r")
        await until(pilot, lambda: app.main.prompt.text == question)
        await pilot.press("n")
        await until(pilot, lambda: not app.main.prompt.display)
        app.workspace.draft.set_field("data.path", "data")
        await pilot.press("s")
        await until(pilot, lambda: app.main.prompt.text == question)
        await pilot.press("escape")
        assert inspector.asked == []
        assert app.workspace.run is None

        await until(pilot, lambda: not app.main.prompt.display)
        await pilot.press("r", "y")
        await until(pilot, lambda: app.workspace.draft.model)
        app.workspace.draft.set_field("model.name", "[b]net.py:another")
        app.main.show()
        await until(pilot, lambda: len(inspector.asked) == 2)
        assert app.workspace.code_to_allow is None


async def test_what_is_to_be_pressed_for_code_of_ones_own_is_told_without_pane_1(
    runs_dir: Path, inspector: FakeInspector
) -> None:
    async with opened(runs_dir, inspector) as (app, pilot):
        await until(pilot, lambda: listed(app))
        await pilot.press("2")
        app.workspace.draft.set_field("model.name", "net.py:make")
        app.main.show()
        words = app.main.query_one("#modules-words", Static)
        press = "net.py:make is your own code: press 1, then r, to run it and see its modules."
        assert str(words.content) == press
        assert "your own code: 1, then r, runs it" in pane(app)._summary.text
        inspector.error = "net.py:make raised [b]ValueError."
        await pilot.press("1", "r", "y", "2")
        failed = "net.py:make could not be looked up; 1, then r, tries again. "
        await until(pilot, lambda: str(words.content) == failed + inspector.error)
        inspector.error = ""
        await pilot.press("1", "r")
        await until(pilot, lambda: app.workspace.draft.model)
