"""The terminal app: themes, signals, and the one screen."""

import asyncio
import os
import signal
import sys
import termios
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from rich.console import RenderableType
from textual import events
from textual._compositor import ChopsUpdate
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.filter import LineFilter
from textual.screen import Screen
from textual.theme import Theme

from engine.contract.errors import UserError
from engine.contract.text import plain
from engine.runs.inspect import Inspector
from ftui import themes
from ftui.ascii import AsciiOnly
from ftui.inspecting import ModelInspector
from ftui.palette import Commands
from ftui.screens.main import MainScreen
from ftui.typeahead import TypeAheadApp
from ftui.updates import CellsUpdate
from ftui.workspace import Workspace

_LOCAL_HZ, _REMOTE_HZ = 10.0, 4.0
_SECONDS_TO_END = 3.0
_SECONDS_BETWEEN_LOOKS = 5.0


class FtuiApp(TypeAheadApp):
    """Shows runs and steers them; training itself goes on in other processes."""

    TITLE = "ftui"
    CSS_PATH = "ftui.tcss"
    COMMAND_PALETTE_BINDING = "ctrl+p"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Commands}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", "Leave", id="app.leave", tooltip="Leave; training goes on"),
        Binding("ctrl+q", "leave", "Leave", show=False, id="app.leave-too", priority=True),
        Binding("t", "next_theme", "Theme", show=False, id="app.theme", tooltip="Next theme"),
    ]

    def __init__(
        self,
        runs_dir: Path,
        run: Path | None = None,
        *,
        refresh: float | None = None,
        ascii_only: bool = False,
        theme: str | None = None,
        inspector: ModelInspector | None = None,
    ) -> None:
        plain_terminal = "NO_COLOR" in os.environ or os.environ.get("TERM") in ("dumb", "unknown")
        if plain_terminal:
            os.environ["NO_COLOR"] = "1"
        super().__init__(ansi_color=True if plain_terminal else None)
        self.animation_level = "none"
        self._unfit: list[str] = []
        self._themes = themes.load_themes(self._unfit.append)
        for found in self._themes:
            self.register_theme(found)
        self.theme = "ftui-ansi" if plain_terminal else _chosen(theme, self._themes)
        self.workspace = Workspace(runs_dir)
        self._line_filters = [AsciiOnly()] if ascii_only else []
        self.inspector = inspector or Inspector()
        self.main = MainScreen(
            self.workspace,
            self.inspector,
            run,
            refresh_rate=refresh or default_refresh(),
            ascii_only=ascii_only,
        )

    def get_line_filters(self) -> Sequence[LineFilter]:
        return [*super().get_line_filters(), *self._line_filters]

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        if isinstance(renderable, ChopsUpdate):
            renderable = CellsUpdate(renderable)
        super()._display(screen, renderable)

    def get_key_display(self, binding: Binding) -> str:
        shown = super().get_key_display(binding)
        return binding.key if self._line_filters and not shown.isascii() else shown

    def get_default_screen(self) -> MainScreen:
        return self.main

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.InputEvent | events.Paste):
            self.main.touched()
        await super().on_event(event)

    def on_app_blur(self) -> None:
        self.main.window_changed(in_front=False)

    def on_app_focus(self) -> None:
        self.main.window_changed(in_front=True)

    def on_mount(self) -> None:
        self.app_resume_signal.subscribe(self, lambda _: self.screen.refresh(layout=True))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGHUP, signal.SIGTERM):
            loop.add_signal_handler(number, self.end)
        self.set_interval(_SECONDS_BETWEEN_LOOKS, self._look_for_terminal)
        for sentence in self._unfit:
            self.notify(sentence, severity="warning", markup=False)

    def _look_for_terminal(self) -> None:
        """Leave where the terminal is gone and no SIGHUP said so, as with nohup and setsid."""
        if not self.is_headless:
            try:
                termios.tcgetattr(sys.__stdin__.fileno() if sys.__stdin__ else 0)
            except (termios.error, ValueError):
                self.end()

    def end(self) -> None:
        """Leave because the terminal is gone, or somebody wants it: in any case, soon.

        What Textual writes to a terminal that is gone may block it for ever, deaf to signals.
        """
        by_force = threading.Timer(_SECONDS_TO_END, os._exit, (1,))
        by_force.daemon = True
        by_force.start()
        self.exit()

    async def on_unmount(self) -> None:
        await self.inspector.close()

    def action_leave(self) -> None:
        """Leave; whatever trains goes on training."""
        run = self.workspace.run
        if run is not None and self.workspace.live:
            self.exit(message=f"Training goes on. To look again: ftui attach {run.folder.name}")
        else:
            self.exit()

    def action_next_theme(self) -> None:
        names = [found.name for found in self._themes]
        at = names.index(self.theme) if self.theme in names else -1
        self.theme = names[(at + 1) % len(names)]
        self.notify(self.theme, title="Theme", timeout=2, markup=False)


def default_refresh() -> float:
    """Frames a second: FTUI_REFRESH, or fewer over SSH than on this machine."""
    if asked := os.environ.get("FTUI_REFRESH"):
        return float(asked)
    remote = "SSH_CONNECTION" in os.environ or "SSH_TTY" in os.environ
    return _REMOTE_HZ if remote else _LOCAL_HZ


def run(
    run: Path | None,
    runs_dir: Path,
    *,
    refresh: float | None = None,
    ascii: bool = False,  # noqa: A002
    mouse: bool = True,
    theme: str | None = None,
) -> int:
    """Show the app, on `run` where given, until it is left; the exit status.

    `refresh` is in frames a second. Raises `UserError` for a theme that is not there.
    """
    app = FtuiApp(runs_dir, run, refresh=refresh, ascii_only=ascii, theme=theme)
    app.run(mouse=mouse)
    return app.return_code or 0


def _chosen(name: str | None, found: list[Theme]) -> str:
    names = [theme.name for theme in found]
    if name is None:
        return themes.DEFAULT
    if name not in names:
        raise UserError(f'There is no theme "{plain(name)}"; there are {", ".join(names)}.')
    return name
