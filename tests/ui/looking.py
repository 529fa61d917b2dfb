"""Whole screens: each at three sizes, compared with its picture, on a computer that is made up."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from textual.pilot import Pilot

from engine import hardware
from ftui import themes
from ftui.app import FtuiApp
from ftui.panes.hardware import HardwarePane
from tests.ui.scripted import ScriptedInspector, ScriptedRun
from tests.ui.seen import SeenData
from tests.ui.waiting import until

SIZES = [(80, 24), (120, 40), (200, 50)]
NAMES = [f"{width}x{height}" for width, height in SIZES]
GIB = 2**30
BOX = hardware.Hardware(
    hardware.Cpu("a processor", [0.1, 0.9, 0.5, 0.3], 0.45, None, 6 * GIB, 16 * GIB, 51.0),
    [
        hardware.Gpu(
            0,
            "a GPU",
            load=0.93,
            memory_used=8 * GIB,
            memory_total=24 * GIB,
            temperature=66.0,
            power=212.0,
            processes=[hardware.GpuProcess(77, "ada", "python", 2 * GIB)],
        )
    ],
    "",
)
Prepare = Callable[[FtuiApp, Pilot[None]], Awaitable[None]]


class WithData(SeenData, ScriptedInspector):
    """Knows models and data."""


class Screen(NamedTuple):
    """A screen at one size."""

    lines: list[str]
    matches: bool

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def has_row(self, *words: str) -> bool:
        """Whether one line holds all of these, in this order."""
        return any(_in_order(line, words) for line in self.lines)


Look = Callable[..., Screen]


@pytest.fixture
def look(
    snap_compare: Callable[..., bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Look:
    """Show the app and compare it with its picture; nothing on it depends on this computer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(themes, "user_folder", lambda: tmp_path)
    monkeypatch.setattr(hardware, "snapshot", lambda: BOX)
    monkeypatch.setattr(hardware, "process", lambda pid: None)

    def show(
        size: tuple[int, int], theme: str, prepare: Prepare, run: ScriptedRun | None = None
    ) -> Screen:
        folder = run.folder if run else None
        app = FtuiApp(tmp_path / "runs", folder, inspector=WithData(), theme=theme)
        lines: list[str] = []

        async def settle(pilot: Pilot[None]) -> None:
            await until(pilot, lambda: app.workspace.runs is not None)  # the first frame is there
            await prepare(app, pilot)
            await until(pilot, lambda: polled(app))
            lines.extend(await at_rest(app, pilot))

        matches = snap_compare(app, terminal_size=size, run_before=settle)
        return Screen(lines, matches)

    return show


def _in_order(line: str, words: tuple[str, ...]) -> bool:
    at = 0
    for word in words:
        at = line.find(word, at)
        if at < 0:
            return False
        at += len(word)
    return True


def polled(app: FtuiApp) -> bool:
    """Whether the computer was looked at, and is shown where it is visible."""
    visible = app.main.body.visible_panes
    return all("a GPU" in pane.text for pane in visible if isinstance(pane, HardwarePane))


async def at_rest(app: FtuiApp, pilot: Pilot[None]) -> list[str]:
    """The screen's lines, once they have stood for a while."""
    seen, stood = list[str](), 0
    while stood < 5:
        await pilot.pause(0.06)
        now = [strip.text for strip in app.screen._compositor.render_strips()]
        stood = stood + 1 if now == seen and not app.main.feed.changed else 0
        seen = now
    return seen
