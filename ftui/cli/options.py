"""Options and small helpers that several commands share."""

import gc
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from engine.contract.errors import UserError
from engine.contract.text import plain

F = TypeVar("F", bound=Callable[..., Any])


class CommandError(Exception):
    """Ends the command with `code`, after a sentence where there is one to say."""

    def __init__(self, code: int, sentence: str = "") -> None:
        super().__init__(sentence)
        self.code = code


def runs_dir_option(command: F) -> F:
    """`--runs-dir`, FTUI_RUNS, or ./runs."""
    return click.option(
        "--runs-dir",
        envvar="FTUI_RUNS",
        default="runs",
        show_default=True,
        type=click.Path(file_okay=False, path_type=Path),
        help="Where runs live (environment: FTUI_RUNS).",
    )(command)


def set_option(command: F) -> F:
    """`--set key=value`, as often as wanted."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change one setting, such as training.epochs=20; may be given again.",
    )(command)


def app_options(command: F) -> F:
    """How the app looks and how often it draws; as `look` options of `open_app`."""
    for option in (
        click.option("--no-mouse", is_flag=True, help="Leave the mouse to the terminal."),
        click.option("--ascii", is_flag=True, help="Draw with ASCII characters only."),
        click.option("--refresh", type=click.FloatRange(0.1, 60), help="Redraws a second."),
        click.option("--theme", metavar="NAME", help="A theme's name, such as ftui-light."),
    ):
        command = option(command)
    return command


def open_app(run: Path | None, runs_dir: Path, **look: Any) -> None:
    """Show the app until it is left. Raises `UserError` without a terminal."""
    if not interactive():
        raise UserError("The app needs a terminal; without one, use ftui train, ls, ctl or attach.")
    gc.disable()  # for the imports, a fifth of the way to the first frame; the app enables it
    from ftui.app import run as run_app

    mouse = not look.pop("no_mouse")
    if code := run_app(run, runs_dir, mouse=mouse, **look):
        raise CommandError(code)


def called() -> str:
    """How this program can be called from here, for hints: `ftui`, or where that is not found."""
    return "ftui" if shutil.which("ftui") else plain(sys.argv[0])


def interactive() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()
