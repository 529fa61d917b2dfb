"""Whole screens as pictures, each with what must be there to read.

The pictures tell that something moved; the asserts beside them tell what must not. Look at
`snapshot_report.html` after a change that was meant, then `pytest tests/ui/test_snapshots.py
--snapshot-update -n 0`.
"""

from pathlib import Path

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from engine.contract import events as e
from engine.contract.plan import head_only, with_rule
from engine.contract.rules import Rule, Stage
from ftui.app import FtuiApp
from ftui.draft import Draft
from ftui.panes.model import ModelPane
from ftui.screens.fork import ForkScreen
from ftui.screens.norms import NormsScreen
from ftui.widgets.form import FieldList
from tests.ui.conftest import caught_up, until
from tests.ui.looking import NAMES, SIZES, Look
from tests.ui.scripted import CONFIG, T0, ScriptedRun, resnet18


async def the_catalogue(app: FtuiApp, pilot: Pilot[None]) -> None:
    await until(pilot, lambda: "2 models" in app.main.query_one(ModelPane).text)


@pytest.mark.parametrize("size", SIZES, ids=NAMES)
def test_the_start(look: Look, size: tuple[int, int]) -> None:
    screen = look(size, "ftui-light", the_catalogue)
    assert screen.has_row("ftui", "no model chosen", "draft")
    assert screen.has_row("model", "params", "top-1")
    assert screen.has_row("torchvision/resnet18", "11.7M", "69.8 %")
    assert screen.has_row("Choose", "Search", "Start", "? Help", "q Leave")
    assert "…" not in screen.text
    if size == (80, 24):
        assert screen.has_row("[1 Model]", "2 Modules", "3 Hardware", "6 Configuration")
        assert screen.has_row("torchvision/resnet18", "11.7M", "224", "69.8 %", "47 MB")
    else:
        assert "No run is open" in screen.text
        assert "Choose a model (1) to see its modules." in screen.text
        assert "No runs in runs/ yet: s starts" in screen.text
        assert screen.has_row("memory", "8.0 of 24.0 GiB")
    assert ("not set" in screen.text) == (size == (200, 50))  # the configuration has its place
    assert screen.matches


@pytest.mark.parametrize("size", SIZES, ids=NAMES)
def test_a_run_that_trains(look: Look, runs_dir: Path, size: tuple[int, int]) -> None:
    run = ScriptedRun(runs_dir / "2026-11-23-resnet18-pets")
    run.start()
    run.train(150)
    run.tell(e.LearningRateChanged(run.step, 0.003))
    run.train(50)

    async def all_read(app: FtuiApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.workspace.run is not None and caught_up(app, run))

    screen = look(size, "ftui-dark", all_read, run)
    assert screen.has_row("11-23-resnet18-pets", "▶ running", "epoch", "5/10", "41%", "loss")
    assert screen.has_row("loss", "train", "val", "smooth 0.9")
    assert screen.has_row("step 200", "train 0.", "val 0.")
    assert sum(line.count("▾") for line in screen.lines) == 1 + (size != (80, 24))  # marker, tree
    assert screen.has_row("50", "100", "150", "200")  # the axis of steps
    assert screen.has_row("Smooth", "Cursor", "p Pause", "? Help", "q Leave")
    assert "…" not in screen.text
    if size != (80, 24):
        assert screen.has_row("○", "layer4", "8.4M", "0%")
        assert screen.has_row("●", "fc", "100%", "1x")
        assert "trainable 18,981 of 11,195,493" in screen.text
        assert screen.has_row("▸", "▶", "11-23-resnet18-pets", "41%")
        assert "2.0 GiB  ada python" in screen.text
    assert screen.matches


@pytest.mark.parametrize("size", SIZES, ids=NAMES)
def test_a_draft_with_its_tree(look: Look, size: tuple[int, int]) -> None:
    rules = with_rule(head_only(resnet18()), Rule("layer4.1", lr_scale=0.1))

    async def the_tree(app: FtuiApp, pilot: Pilot[None]) -> None:
        await the_catalogue(app, pilot)
        app.workspace.draft = Draft(CONFIG, resnet18())
        app.workspace.draft.set_rules(rules)
        await pilot.press("2", "G", "up", "up", "right")

    screen = look(size, "ftui-contrast", the_tree)
    assert screen.has_row("torchvision/resnet18", "✎ draft")
    assert screen.has_row("module", "params", "train", "lr")
    assert screen.has_row("◐", "resnet18", "11.2M", "42%", "mixed")
    assert screen.has_row("◐", "▾ layer4", "8.4M", "56%", "0.1x")
    assert screen.has_row("○", "▸ 0", "3.7M", "0%")
    assert screen.has_row("●", "▸ 1", "4.7M", "100%", "0.1x")
    assert screen.has_row("●", "fc", "19.0K", "100%", "1x")
    assert screen.has_row("trainable", "of 11,195,493", "(42%)")
    assert screen.has_row("Train/freeze", "lr scale", "LoRA", "Select", "Filter", "? Help")
    assert screen.has_row("BatchNorm2d") == (size != (120, 40))  # types go where it is narrow
    assert screen.matches


@pytest.mark.parametrize("size", SIZES, ids=NAMES)
def test_several_modules_and_what_stands_beside_them(look: Look, size: tuple[int, int]) -> None:
    async def the_tree(app: FtuiApp, pilot: Pilot[None]) -> None:
        await the_catalogue(app, pilot)
        stages = [Stage(after="2 epochs", trainable=[Rule("layer2"), Rule("layer1")])]
        app.workspace.draft = Draft(replace(CONFIG, stages=stages), resnet18())
        await pilot.press("2", "G", "i", "k", "k", "a", "right", "down", "V", "up", "up")

    screen = look(size, "ftui-dark", the_tree)
    assert screen.has_row("◐", "resnet18" if size != (120, 40) else "…", "(new lora)", "1x")
    assert screen.has_row("█○", "layer3", "2.1M")
    assert screen.has_row("┃◐", "layer4", "lora 8", "8.4M", "1%", "1x")
    assert screen.has_row("┃◐", "0", "lora 8")
    assert screen.has_row("●", "fc", "new", "100%")
    total = "11.3M" if size == (120, 40) else "11,347,045"
    assert screen.has_row("trainable", f"of {total}", "3 selected")
    assert screen.has_row("after 2 epochs: train layer2, train layer1")
    assert screen.matches


@pytest.mark.parametrize("size", SIZES, ids=NAMES)
def test_the_plan_as_text(look: Look, size: tuple[int, int]) -> None:
    rules = with_rule(head_only(resnet18()), Rule("layer4.1", lr_scale=0.1))

    async def the_text(app: FtuiApp, pilot: Pilot[None]) -> None:
        await the_catalogue(app, pilot)
        stages = [Stage(after="2 epochs", trainable=[Rule("layer4")])]
        app.workspace.draft = Draft(replace(CONFIG, stages=stages), resnet18())
        app.workspace.draft.set_rules(rules)
        await pilot.press("2", "P")

    screen = look(size, "ftui-light", the_text)
    assert screen.has_row("[[trainable]]")
    assert screen.has_row('match = "layer4.1"')
    assert screen.has_row("lr_scale = 0.1")
    assert screen.has_row("The last rule that matches a parameter")
    assert screen.has_row("Copy", "Export", "Import", "Tree", "? Help")
    assert screen.has_row("[[stages.trainable]]")
    assert screen.matches


@pytest.mark.parametrize("size", SIZES, ids=NAMES)
def test_the_configuration(look: Look, size: tuple[int, int]) -> None:
    async def the_form(app: FtuiApp, pilot: Pilot[None]) -> None:
        await the_catalogue(app, pilot)
        app.workspace.draft = Draft(CONFIG, resnet18())
        app.workspace.draft.set_field("data.batch_size", "64")
        await pilot.press("6", "down", "down", "down", "down", "down")
        await until(pilot, lambda: "no such folder" in app.main.query_one(FieldList).text)

    screen = look(size, "ftui-ansi", the_form)
    assert screen.has_row("── data ──")
    assert screen.has_row("path", "data/pets", "no such folder")
    assert screen.has_row("* batch_size", "64")
    assert screen.has_row("data.batch_size  Pictures that go through")
    assert screen.has_row("a whole number at least 1 and at most 65536")
    assert screen.has_row("Edit", "Default", "Text", "Save", "Load", "? Help")
    assert "…" not in screen.text
    assert screen.matches


def overfitted_fork(runs_dir: Path) -> ScriptedRun:
    """A fork that overfits, with a checkpoint each epoch, beside its parent."""
    parent = ScriptedRun(runs_dir / "2026-11-23-resnet18-pets")
    parent.start()
    for n in range(9):
        parent.train_epoch(0.5 + 1.5 * 0.6**n, 0.7 + 1.2 * 0.6**n)
    fork = ScriptedRun(runs_dir / "2026-11-23-resnet18-pets-2")
    fork.tell(e.RunStarted(4321, "box", {"ftui": "0.1.0"}, fork.config, time=T0))
    fork.tell(e.RunForked(str(parent.folder), 96, time=T0))
    fork.start(took=False)
    for training, validation in [(2.0, 1.9), (1.4, 1.42), (0.7, 0.9), (0.4, 0.85), (0.2, 0.92)]:
        fork.train_epoch(training, validation)
    fork.tell(e.OptionChanged(fork.step, "data.augment", "trivial", time=T0 + 99))
    for training, validation in [(0.12, 1.0), (0.07, 1.08)]:
        fork.train_epoch(training, validation)
    return fork


@pytest.mark.parametrize("size", SIZES, ids=NAMES)
def test_a_fork_that_overfits(look: Look, runs_dir: Path, size: tuple[int, int]) -> None:
    fork = overfitted_fork(runs_dir)

    async def all_read(app: FtuiApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.workspace.run is not None and caught_up(app, fork))
        await until(pilot, lambda: app.workspace.parent and app.workspace.parent.caught_up)

    screen = look(size, "ftui-dark", all_read, fork)
    assert screen.has_row("loss", "━ train", "● val", "╍ parent train", "◆ parent val")
    assert screen.has_row("since epoch 4", "0.85", "1.1", "b rewinds")
    if size != (80, 24):
        assert screen.has_row("forked from 2026-11-23-resnet18-pets at step 96")
    assert screen.matches


@pytest.mark.parametrize("size", SIZES, ids=NAMES)
def test_the_checkpoints_to_go_back_to(look: Look, runs_dir: Path, size: tuple[int, int]) -> None:
    fork = overfitted_fork(runs_dir)

    async def the_menu(app: FtuiApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.workspace.run is not None and caught_up(app, fork))
        await until(pilot, lambda: app.workspace.parent and app.workspace.parent.caught_up)
        await pilot.press("b")

    screen = look(size, "ftui-light", the_menu, fork)
    assert screen.has_row("Rewind: back to a checkpoint")
    assert screen.has_row("step 336", "epoch 7", "val loss 1.08", "top-1", "newest")
    assert screen.has_row("step 192", "val loss 0.85")
    assert screen.has_row("⏎ Choose", "esc Close", "? Help")
    assert screen.matches


@pytest.mark.parametrize("size", SIZES, ids=NAMES)
def test_the_form_of_a_fork(look: Look, run: ScriptedRun, size: tuple[int, int]) -> None:
    async def the_form(app: FtuiApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.workspace.run is not None and caught_up(app, run))
        await pilot.press("B")
        await until(pilot, lambda: isinstance(app.screen, ForkScreen))
        await until(pilot, lambda: app.screen.query_one(FieldList).cursor)
        await pilot.press("enter", "ctrl+u", *"0.002", "enter")
        await until(pilot, lambda: "instead of" in app.screen.query_one(FieldList).text)

    screen = look(size, "ftui-dark", the_form, run)
    assert screen.has_row("Fork 2026-11-23-resnet18-pets at step 200")
    assert screen.has_row("* lr", "0.002", "instead of 0.01")
    assert screen.has_row("s starts it", "enter edits", "escape leaves")
    assert screen.matches


@pytest.mark.parametrize("size", SIZES, ids=NAMES)
def test_relative_gradient_norms(look: Look, run: ScriptedRun, size: tuple[int, int]) -> None:
    blocks = [f"layer{n}.{k}" for n in range(1, 5) for k in (0, 1)]
    norms = {path: 0.002 * 1.5**n for n, path in enumerate(blocks)}
    run.tell(e.GradientsMeasured(run.step, {**norms, "fc": 0.061}))

    async def the_bars(app: FtuiApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.workspace.run is not None and caught_up(app, run))
        await pilot.press("A")
        await until(pilot, lambda: isinstance(app.screen, NormsScreen) and app.screen.text)

    screen = look(size, "ftui-dark", the_bars, run)
    assert screen.has_row("Relative gradient norms")
    assert screen.has_row("layer1.0", "━", "─", "0.002")
    assert screen.has_row("fc", "━", "0.061")
    assert screen.has_row("a measures", "escape closes")
    assert screen.matches


@pytest.mark.parametrize("size", SIZES, ids=NAMES)
def test_the_settings_of_a_run_that_trains(
    look: Look, run: ScriptedRun, size: tuple[int, int]
) -> None:
    async def the_form(app: FtuiApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.workspace.run is not None and caught_up(app, run))
        await pilot.press("6", *["down"] * 6, "right")
        await until(pilot, run.commands)

    screen = look(size, "ftui-contrast", the_form, run)
    assert screen.has_row("augment", "standard", "trivial pending")
    assert screen.has_row("augment_strength 1.0  live")
    assert screen.has_row("data.augment, live  Random changes")
    assert screen.matches
