"""Options and small helpers that several commands share."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

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


def interactive() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()
