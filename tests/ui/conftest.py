"""What the app's tests share: runs, an app that shows one, and waiting for what it shows."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from ftui.app import FtuiApp
from ftui.widgets.plot import Plot
from tests.ui.looking import look  # noqa: F401, a fixture
from tests.ui.scripted import ScriptedInspector, ScriptedRun
from tests.ui.waiting import until

FALLING = [(0.9, 0.9), (0.5, 0.6), (0.4, 0.48), (0.3, 0.41)]
RISING = [(0.2, 0.43), (0.15, 0.45), (0.11, 0.47)]
Shown = Callable[..., AbstractAsyncContextManager[tuple[FtuiApp, Pilot[None]]]]


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def run(runs_dir: Path) -> ScriptedRun:
    """A living run in its fifth epoch."""
    scripted = ScriptedRun(runs_dir / "2026-11-23-resnet18-pets")
    scripted.start()
    scripted.train(200)
    return scripted


@pytest.fixture
def early(runs_dir: Path) -> ScriptedRun:
    """A living run behind its fourth epoch, with a checkpoint each; the last is the best."""
    run = ScriptedRun(runs_dir / "2026-11-23-resnet18-pets")
    run.start()
    for losses in FALLING:
        run.train_epoch(*losses)
    return run


@pytest.fixture
def overfitted(early: ScriptedRun) -> ScriptedRun:
    """Three epochs later, with a validation loss that rises."""
    for losses in RISING:
        early.train_epoch(*losses)
    return early


@pytest.fixture
def shown(runs_dir: Path) -> Shown:
    """The app on a run (None: on none), at a size."""

    @asynccontextmanager
    async def show(
        run: ScriptedRun | None, size: tuple[int, int] = (120, 40), **options: object
    ) -> AsyncIterator[tuple[FtuiApp, Pilot[None]]]:
        folder = run.folder if run else None
        app = FtuiApp(runs_dir, folder, refresh=30, inspector=ScriptedInspector(), **options)  # type: ignore[arg-type]
        async with app.run_test(size=size) as pilot:
            if run is not None:
                await until(pilot, lambda: app.workspace.run is not None and caught_up(app, run))
            yield app, pilot

    return show


def caught_up(app: FtuiApp, run: ScriptedRun) -> bool:
    """Whether the app has read all of the journal and drawn it."""
    opened = app.workspace.run
    assert opened is not None
    return opened.caught_up and opened.state.step == run.step and not app.main.feed.changed


def plot(app: FtuiApp) -> str:
    return app.main.query_one(Plot).text


def notices(app: FtuiApp) -> list[str]:
    return [notice.message for notice in app._notifications]


async def cursor_on(pilot: Pilot[None], app: FtuiApp, step: int) -> None:
    """Put the plot's cursor on a step."""
    widget = app.main.query_one(Plot)
    widget._navigator.go(step)
    widget._redraw()
    assert widget.cursor == step
    await pilot.pause()
