"""What the app's tests share: runs, an app that shows one, and waiting for what it shows."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from ftui.app import FtuiApp
from tests.ui.scripted import ScriptedInspector, ScriptedRun

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


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    """Return once `condition` holds; the test runner's own limit ends a wait in vain."""
    while not condition():
        await pilot.pause(0.02)
