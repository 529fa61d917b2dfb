"""Finding a learning rate or a batch size: a screen in the app, a command without it."""

import math
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from textual.pilot import Pilot

from engine.contract import toml
from engine.contract.errors import UserError
from engine.contract.events import PreparationAdvanced, Warned
from engine.contract.finding import (
    Finding,
    FindRate,
    FindSize,
    RateTried,
    SizeTried,
    Sought,
    Suggested,
)
from engine.runs import finder
from ftui.app import FtuiApp
from ftui.cli.find import find
from ftui.draft import Draft
from ftui.screens.finder import FinderScreen
from ftui.widgets.plot import Plot, Scale, Series, render_text
from tests.ui.conftest import notices, until
from tests.ui.inspectors import FakeInspector
from tests.ui.looking import Look
from tests.ui.scripted import CONFIG, ScriptedRun, resnet18

WHY = "There the loss fell steepest; it was lowest at 0.51."
RATES: list[Finding] = [
    PreparationAdvanced("loading [b]x[/b]"),
    Warned("[b]Odd[/b] data."),
    *(
        RateTried(lr := 10 ** (-7 + 0.08 * n), 2.3 - 2 * math.exp(-((math.log10(lr) + 0.5) ** 2)))
        for n in range(88)
    ),
    RateTried(2.0, None),
    Suggested(0.0085, WHY, 31.0),
]
SIZES: list[Finding] = [
    *(SizeTried(2**n, 400 * 2**n / (2**n + 16), 2**30 + 10**7 * 2**n) for n in range(1, 9)),
    Suggested(128, "128 has 94 % of the throughput of 256, the fastest.", 12.0),
]


class ScriptedFinder(FakeInspector):
    """Tells what it is given, the last of it when `let_go` is set; knows when it was left."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__()
        self.findings = findings
        self.sought: list[Sought] = []
        self.left = False

    async def find(self, sought: Sought) -> AsyncGenerator[Finding, None]:
        self.sought.append(sought)
        try:
            for finding in self.findings[:-1]:
                yield finding
            await self._answer()
            yield self.findings[-1]
        finally:
            self.left = True


async def opened(app: FtuiApp, pilot: Pilot[None], key: str) -> FinderScreen:
    app.workspace.draft = Draft(CONFIG, resnet18())
    await pilot.press("6", key)
    await until(pilot, lambda: isinstance(app.screen, FinderScreen))
    assert isinstance(app.screen, FinderScreen)
    return app.screen


async def test_the_rate_that_is_suggested_is_set_by_enter(runs_dir: Path) -> None:
    inspector = ScriptedFinder(RATES)
    inspector.let_go.clear()
    app = FtuiApp(runs_dir, inspector=inspector)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(app, pilot, "L")
        await until(pilot, lambda: "step 89 of at most 100: rate 2, loss -" in screen.text)
        assert "[b]Odd[/b] data." in screen.text
        assert "suggested" not in screen.text
        await pilot.press("enter")
        await until(pilot, lambda: any("Nothing is suggested" in x for x in notices(app)))
        inspector.let_go.set()
        await until(
            pilot, lambda: f"lr = 0.0085 is suggested. {WHY} (89 steps, 31s)" in screen.text
        )
        ticks = screen.text.splitlines()[-1].split()
        assert ticks == ["1e-07", "1e-06", "1e-05", "0.0001", "0.001", "0.01", "0.1", "1", "10"]
        assert "▾" in screen.text
        await pilot.press("left")  # the cursor appears at what was tried next to the suggestion
        assert screen.value == "0.0091"
        screen.plots[0].action_toggle_cursor()
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is app.main)
        assert app.workspace.config.optimizer.lr == 0.0085
        assert inspector.sought == [FindRate(CONFIG)]
        assert app.main.focused is app.main.panes[5].target


async def test_another_value_is_picked_with_the_cursor(runs_dir: Path) -> None:
    inspector = ScriptedFinder(SIZES)
    inspector.let_go.clear()
    app = FtuiApp(runs_dir, inspector=inspector)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot, "B")
        await until(pilot, lambda: "batch size 256: 376.5 img/s, 3.38 GiB" in screen.text)
        speed, memory = screen.query(Plot)
        assert "img/s 376.5" in speed.text
        assert "memory in GiB 3.384" in memory.text
        assert speed.text.splitlines()[-1].split()[:3] == ["2", "4", "8"]
        await pilot.press("left", "left")
        assert screen.value == "128"
        assert "batch size 128" in speed.text
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is app.main)
        assert app.workspace.config.data.batch_size == 128
        assert any("rate found anew" in x for x in notices(app))
        assert inspector.sought == [FindSize(CONFIG)]
        await until(pilot, lambda: inspector.left)


async def test_escape_ends_the_search_and_leaves_the_draft(runs_dir: Path) -> None:
    inspector = ScriptedFinder(RATES)
    inspector.let_go.clear()
    app = FtuiApp(runs_dir, inspector=inspector)
    async with app.run_test() as pilot:
        screen = await opened(app, pilot, "L")
        await until(pilot, lambda: "step 89" in screen.text)
        assert not inspector.left
        await pilot.press("escape")
        await until(pilot, lambda: inspector.left)
        assert app.workspace.config == CONFIG


async def test_what_went_wrong_is_said_and_a_draft_must_be_complete(
    runs_dir: Path, run: ScriptedRun
) -> None:
    inspector = ScriptedFinder(RATES[:1] + RATES[-1:])
    inspector.error = "data.path: [b]nowhere[/b] does not exist."
    app = FtuiApp(runs_dir, inspector=inspector)
    async with app.run_test() as pilot:
        await pilot.press("6", "L")
        await until(pilot, lambda: "Choose a model first (1)." in notices(app))
        screen = await opened(app, pilot, "L")
        await until(pilot, lambda: inspector.error in screen.text)
        assert screen.value == ""
        await pilot.press("q")
        await until(pilot, lambda: app.screen is app.main)
    app = FtuiApp(runs_dir, run.folder, inspector=inspector)
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.workspace.run is not None)
        app.main.show()
        await pilot.press("6")
        await until(pilot, lambda: not app.main.panes[5].check_action("find", ("optimizer.lr",)))


def test_the_screen(look: Look) -> None:
    async def found(app: FtuiApp, pilot: Pilot[None]) -> None:
        inspector = ScriptedFinder(RATES)
        app.main._inspector = inspector
        screen = await opened(app, pilot, "L")
        await until(pilot, lambda: "is suggested" in screen.text)

    screen = look((120, 40), "ftui-dark", found)
    assert screen.has_row("lr = 0.0085 is suggested")
    assert screen.has_row("enter takes 0.0085", "left/right picks", "escape leaves")
    assert screen.matches


def told(findings: Sequence[Finding]) -> object:
    async def tell(_: Sought) -> AsyncGenerator[Finding, None]:
        for finding in findings:
            yield finding

    return tell


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "pets.toml"
    file.write_text(toml.dump(CONFIG))
    monkeypatch.setattr(finder, "find", told(RATES))
    done = CliRunner().invoke(find, ["lr", str(file)], catch_exceptions=False)
    assert "warning: [b]Odd[/b] data." in done.stderr
    assert "step 81 of at most 100" in done.stderr
    *drawn, _, words, how = done.stdout.splitlines()
    assert words == f"lr = 0.0085 is suggested. {WHY} (89 steps, 31s)"
    assert how.endswith(f"train {file} --set optimizer.lr=0.0085")
    assert drawn[-1].split()[:3] == ["1e-07", "1e-06", "1e-05"]

    monkeypatch.setattr(finder, "find", told(SIZES))
    done = CliRunner().invoke(find, ["batch", str(file)], catch_exceptions=False)
    assert "batch size 64: 320 img/s, 1.60 GiB" in done.stderr
    assert done.stdout.splitlines()[-1].endswith("--set data.batch_size=128")


def test_a_run_is_meant_by_its_name_and_settings_are_changed(
    run: ScriptedRun, runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Sought] = []

    async def fails(sought: Sought) -> AsyncGenerator[Finding, None]:
        asked.append(sought)
        raise UserError("There is no data.")
        yield

    monkeypatch.setattr(finder, "find", fails)
    words = ["lr", run.folder.name, "--runs-dir", str(runs_dir), "--set", "optimizer.name=adamw"]
    with pytest.raises(UserError, match="There is no data"):
        CliRunner().invoke(find, words, catch_exceptions=False)
    optimizer = replace(CONFIG.optimizer, name="adamw")
    assert asked == [FindRate(replace(CONFIG, optimizer=optimizer))]


def test_a_plot_may_be_of_something_else_than_steps() -> None:

    scale = Scale("size", lambda x: f"{2**x:.0f}", [float(n) for n in range(20)])
    series = Series("speed", np.array([1.0, 2.0, 3.0]), np.array([5.0, 7.0, 8.0]), "primary")
    lines = render_text([series], 60, 12, scale=scale).splitlines()
    assert lines[1] == "size 8  speed 8"
    assert lines[-1].split() == ["2", "4", "8"]
    many = Series("speed", np.arange(20.0), np.arange(20.0), "primary")
    assert render_text([many], 60, 12, scale=scale).splitlines()[-1].split() == [
        *("1", "8", "64", "512", "4096", "32768", "262144")
    ]
    assert "no sizes yet" in render_text([], 60, 12, scale=scale)
