"""`ftui ctl`: one command to a living run, its acknowledgement printed."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import click

import engine
from engine.contract import commands as c
from engine.contract.errors import UserError
from engine.runs.client import CommandRefused
from ftui.cli.options import CommandError, runs_dir_option

_PLAIN: dict[str, Callable[[], c.AnyCommand]] = {
    "pause": c.Pause,
    "resume": c.Resume,
    "stop": c.Stop,
    "checkpoint": c.Checkpoint,
    "evaluate": c.Evaluate,
}
_WITH_VALUE: dict[str, Callable[[str], c.AnyCommand]] = {
    "lr": lambda value: c.SetLearningRate(_rate(value)),
    "freeze": c.Freeze,
    "thaw": c.Thaw,
}


@click.command()
@click.argument("run")
@click.argument("action", metavar="ACTION", type=click.Choice([*_PLAIN, *_WITH_VALUE]))
@click.argument("value", required=False)
@runs_dir_option
def ctl(run: str, action: str, value: str | None, runs_dir: Path) -> None:
    """Steer a living RUN, and wait until it has obeyed.

    \b
    pause | resume | stop | checkpoint | evaluate
    lr VALUE          the base learning rate
    freeze PATTERN    a path or glob, such as layer4 or '*.bias'
    thaw PATTERN
    """
    command = _command(action, value)
    answer = asyncio.run(_send(run, runs_dir, command))
    click.echo(f"{c.describe(command)}: applied at step {answer.step}")


def _command(action: str, value: str | None) -> c.AnyCommand:
    if action in _PLAIN:
        if value is not None:
            raise UserError(f"{action} takes no value.")
        return _PLAIN[action]()
    if not value:
        wanted = "a number" if action == "lr" else "a path or a glob, such as layer4"
        raise UserError(f"{action} needs {wanted}.")
    return _WITH_VALUE[action](value)


def _rate(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise UserError(f'lr must be a number such as 0.001, not "{value}".') from None


async def _send(run: str, runs_dir: Path, command: c.AnyCommand) -> engine.CommandApplied:
    try:
        return await engine.attach(run, runs_dir).send(command)
    except CommandRefused as refused:
        raise CommandError(1, str(refused)) from None
