"""The config as a form and as text."""

from functools import partial
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.events import Paste
from textual.pilot import Pilot

from engine.contract import toml
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.fields import all_fields
from engine.contract.rules import Rule
from engine.contract.tasks import unread_tables
from engine.contract.training_tables import TrainingConfig
from ftui.app import FtuiApp
from ftui.draft import Draft
from ftui.panes.configuration import ConfigurationPane
from ftui.widgets.form import FieldForm, FieldInput, FieldList
from ftui.widgets.lines import Lines
from tests.ui.conftest import Shown, until
from tests.ui.scripted import resnet18

WHOLE = Config(
    task="image-classification",
    model=ModelConfig(name="torchvision/resnet18"),
    data=DataConfig(path="data/pets"),
    training=TrainingConfig(epochs=3),
    trainable=[Rule("*", train=False), Rule("layer4", lr_scale=0.1)],
)


def form(app: FtuiApp) -> FieldForm:
    return app.main.query_one(FieldForm)


def row(app: FtuiApp, key: str) -> str:
    """The line of a field."""
    rows = form(app).list.rows
    at = next(n for n, r in enumerate(rows) if not isinstance(r, str) and r.key == key)
    return form(app).list.text.splitlines()[at].rstrip()


def said(app: FtuiApp) -> str:
    """What stands below the form."""
    return str(app.main.query_one("#configuration-help").content)  # type: ignore[attr-defined]


def notices(app: FtuiApp) -> list[str]:
    return [notice.message for notice in app._notifications]


def changed(app: FtuiApp, before: Config) -> bool:
    return app.workspace.draft.config is not before


async def go_to(pilot: Pilot[None], app: FtuiApp, key: str) -> None:
    """Open the pane and put the cursor on a field."""
    await pilot.press("6")
    rows = form(app).list.rows
    keys = [row if isinstance(row, str) else row.key for row in rows]
    form(app).list.select(keys.index(key))
    await pilot.pause()


async def typed(pilot: Pilot[None], text: str) -> None:
    """In place of what is there; pasted, which is quicker than key by key."""
    await pilot.press("ctrl+u")
    pilot.app.post_message(Paste(text))
    await pilot.pause()


class FormApp(App[None]):
    """The form alone."""

    def compose(self) -> ComposeResult:
        yield FieldForm(all_fields())

    def on_mount(self) -> None:
        self.query_one(FieldForm).show(Draft().config, lambda _: "", {})


async def test_every_field_is_there_under_its_table_and_can_be_reached() -> None:
    app = FormApp()
    async with app.run_test() as pilot:
        listed = app.query_one(FieldList)
        unread = unread_tables("image-classification")
        keys = [field.key for field in all_fields() if field.table not in unread]
        met = [listed.field.key]
        for _ in keys[1:]:
            await pilot.press("down")
            met.append(listed.field.key)
        assert met == keys
        await pilot.press("down")
        assert listed.field.key == keys[-1]
        for key in reversed(keys[:-1]):
            await pilot.press("up")
            assert listed.field.key == key
        assert "  name             not set" in listed.text
        assert "── optimizer ──" in listed.text


async def test_tables_of_other_tasks_are_left_out(shown: Shown) -> None:
    def tables() -> set[str]:
        return {row for row in form(app).list.rows if isinstance(row, str)}

    async with shown(None) as (app, pilot):
        await go_to(pilot, app, "images.root")
        assert not tables() & {"text", "segmentation"}
        app.workspace.set_field("task", "causal-lm")
        app.main.show()
        assert form(app).list.field.key == "task"
        assert tables() & {"images", "text", "segmentation"} == {"text"}
        await go_to(pilot, app, "text.max_length")
        app.workspace.set_field("text.max_length", "64")
        app.workspace.set_field("task", "text-classification")
        app.main.show()
        assert form(app).list.field.key == "text.max_length"
        assert row(app, "text.max_length") == "* max_length       64"
        app.workspace.set_field("task", "semantic-segmentation")
        app.main.show()
        assert "Set, but not read by semantic segmentation: text.max_length." in row(app, "task")


async def test_another_task_takes_another_metric(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        await pilot.press("6")
        app.workspace.set_field("early_stopping.metric", "val_top1")
        app.workspace.set_field("task", "text-classification")
        assert app.workspace.draft.config.early_stopping.metric == "val_loss"
        app.main.show()
        assert "val_top1" not in form(app).choices["early_stopping.metric"]
        assert "val_accuracy" in form(app).choices["early_stopping.metric"]


async def test_help_and_expectation_follow_the_cursor(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        await go_to(pilot, app, "training.epochs")
        assert said(app) == (
            "training.epochs  Passes over the training data.\n"
            "a whole number at least 1 and at most 1000000; default 10"
        )


async def test_a_value_is_typed_in_place_and_marked_as_changed(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        await go_to(pilot, app, "optimizer.lr")
        assert row(app, "optimizer.lr") == "  lr               0.01  L finds one"
        await pilot.press("enter")
        await typed(pilot, "3e-4")
        await pilot.press("enter")
        await until(pilot, lambda: not form(app).editing)
        assert app.workspace.draft.config.optimizer.lr == 3e-4
        assert row(app, "optimizer.lr") == "* lr               0.0003  L finds one"
        assert app.focused is form(app).list
        await pilot.press("d")
        await until(pilot, lambda: app.workspace.draft.config.optimizer.lr == 0.01)
        assert row(app, "optimizer.lr") == "  lr               0.01  L finds one"


async def test_the_editor_opens_over_the_value(shown: Shown) -> None:
    async with shown(None, size=(80, 24)) as (app, pilot):
        for key in ("task", "optimizer.lr", "checkpoints.every_steps"):
            await go_to(pilot, app, key)
            await pilot.press("enter")
            await pilot.pause()
            listed = form(app).list
            line = listed.region.y + (listed.cursor or 0) - listed.scroll_offset.y
            assert app.main.query_one(FieldInput).region.y == line
            await pilot.press("escape")
            await until(pilot, lambda: not form(app).editing)


async def test_a_wrong_value_is_not_taken_and_the_sentence_stands_beside_it(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        await go_to(pilot, app, "data.batch_size")
        await pilot.press("enter")
        await typed(pilot, "many")
        await pilot.press("enter")
        await until(pilot, lambda: form(app).wrong)
        sentence = "data.batch_size must be a whole number at least 1 and at most 65536"
        assert form(app).wrong == f"{sentence}, not 'many'."
        assert form(app).editing
        assert app.workspace.draft.config.data.batch_size == 32
        await pilot.press("ctrl+g")
        await until(pilot, lambda: not form(app).editing)
        assert row(app, "data.batch_size") == "  batch_size       32  B finds one"


async def test_choices_are_cycled_both_ways_and_round(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        await go_to(pilot, app, "data.augment")
        met = []
        for key in ("right", "space", "left", "left"):
            before = app.workspace.draft.config
            await pilot.press(key)
            await until(pilot, partial(changed, app, before))
            met.append(app.workspace.draft.config.data.augment)
        assert met == ["trivial", "randaugment", "trivial", "standard"]
        await go_to(pilot, app, "optimizer.nesterov")
        await pilot.press("space")
        await until(pilot, lambda: app.workspace.draft.config.optimizer.nesterov)
        assert row(app, "optimizer.nesterov") == "* nesterov         true"


async def test_the_device_cycles_through_what_is_there(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        await until(pilot, lambda: app.workspace.hardware)
        await go_to(pilot, app, "training.device")
        choices = form(app).choices["training.device"]
        assert choices[0] == "auto"
        assert choices[-1] == "cpu"
        await pilot.press("left")
        await until(pilot, lambda: app.workspace.draft.config.training.device == "cpu")


async def test_the_data_folder_is_completed_and_looked_at(
    shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg"):
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pets" / name).touch()
    monkeypatch.chdir(tmp_path)
    async with shown(None) as (app, pilot):
        await go_to(pilot, app, "data.path")
        await pilot.press("enter")
        await typed(pilot, "pe")
        field = app.main.query_one(FieldInput)
        await until(pilot, lambda: field._suggestion)
        await pilot.press("tab", "enter")
        await until(pilot, lambda: "3 pictures in 2 classes" in row(app, "data.path"))
        assert app.workspace.draft.config.data.path == "pets/"
        await pilot.press("enter")
        await typed(pilot, "nowhere")
        await pilot.press("enter")
        await until(pilot, lambda: row(app, "data.path").endswith("nowhere  no such folder"))


async def test_another_model_name_clears_the_plan_and_is_described(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        app.workspace.draft = Draft(WHOLE, resnet18())
        await go_to(pilot, app, "model.name")
        await pilot.press("enter")
        await typed(pilot, "torchvision/resnet50")
        await pilot.press("enter")
        await until(pilot, lambda: not form(app).editing)
        assert app.workspace.draft.config.trainable == []
        await until(pilot, lambda: app.workspace.draft.model)
        assert app.workspace.draft.model is not None
        assert app.workspace.draft.model.name == "torchvision/resnet50"


async def test_the_text_is_the_config_that_runs(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        app.workspace.draft = Draft(WHOLE, resnet18())
        await pilot.press("6", "t")
        text = app.main.query_one("#configuration-text", Lines)
        assert text.display
        assert toml.parse(text.text) == WHOLE
        assert 'match = "layer4"' in text.text
        assert said(app).startswith("This is what runs")
        await pilot.press("t")
        assert app.focused is form(app).list


async def test_saving_asks_for_a_path_and_before_it_replaces(
    shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved = tmp_path / "resnet18.toml"
    async with shown(None) as (app, pilot):
        app.workspace.draft = Draft(WHOLE, resnet18())
        await pilot.press("6", "ctrl+s", "enter")
        await until(pilot, saved.exists)
        assert toml.load(saved) == WHOLE
        saved.write_text("mine")
        prompt = app.main.query_one(ConfigurationPane).prompt
        for answer, left in (("n", "mine"), ("y", toml.dump(WHOLE))):
            await pilot.press("ctrl+s", "enter")
            await until(pilot, lambda: "Replace it? y/n" in prompt.text)
            await pilot.press(answer)
            await until(pilot, lambda: app.focused is form(app).list)
            assert saved.read_text() == left


async def test_a_draft_that_lacks_something_is_not_saved(shown: Shown) -> None:
    async with shown(None) as (app, pilot):
        await pilot.press("6", "ctrl+s")
        await until(pilot, lambda: notices(app))
        assert notices(app) == ["Choose a model first (1)."]


async def test_where_saving_fails_the_sentence_is_shown_and_the_prompt_stays(
    shown: Shown, tmp_path: Path
) -> None:
    async with shown(None) as (app, pilot):
        app.workspace.draft = Draft(WHOLE, resnet18())
        await pilot.press("6", "ctrl+s")
        await typed(pilot, f"{tmp_path}/nowhere/x.toml")
        await pilot.press("enter")
        await until(pilot, lambda: "can't be written" in said(app))
        prompt = app.main.query_one(ConfigurationPane).prompt
        assert prompt.text.endswith("Not saved.")
        await pilot.press("ctrl+g")
        await until(pilot, lambda: said(app).startswith("task "))


async def test_a_file_is_loaded_into_the_draft_with_its_plan(shown: Shown, tmp_path: Path) -> None:
    (tmp_path / "pets.toml").write_text(toml.dump(WHOLE))
    async with shown(None) as (app, pilot):
        await pilot.press("6", "ctrl+o")
        await typed(pilot, f"{tmp_path}/pets.toml")
        await pilot.press("enter")
        await until(pilot, lambda: app.workspace.draft.model)
        assert app.workspace.draft.config == WHOLE
        assert row(app, "training.epochs") == "* epochs           3"


async def test_a_file_that_does_not_fit_is_refused_with_its_sentence(
    shown: Shown, tmp_path: Path
) -> None:
    (tmp_path / "bad.toml").write_text("[training]\nepoch = 3\n")
    async with shown(None) as (app, pilot):
        await pilot.press("6", "ctrl+o")
        await typed(pilot, f"{tmp_path}/bad.toml")
        await pilot.press("enter")
        await until(pilot, lambda: "bad.toml" in said(app))
        assert app.workspace.draft.config.training.epochs == 10
