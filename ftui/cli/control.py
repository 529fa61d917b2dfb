"""`ftui ctl`: one command to a living run, its acknowledgement printed."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import click

import engine
from engine.contract import commands as c
from engine.contract import toml
from engine.contract.errors import UserError
from engine.contract.text import plain
from engine.runs import store
from engine.runs.client import CommandRefused
from ftui.cli.options import CommandError, runs_dir_option
from ftui.settings import live_command

_PLAIN: dict[str, Callable[[], c.AnyCommand]] = {
    "pause": c.Pause,
    "resume": c.Resume,
    "stop": c.Stop,
    "checkpoint": c.Checkpoint,
    "evaluate": c.Evaluate,
    "auto-rgn": c.AutoRGN,
    "stages": lambda: c.SetStages([]),
}
_WANTED = {
    "lr": "a number",
    "freeze": "a path or a glob, such as layer4",
    "thaw": "a path or a glob, such as layer4",
    "rewind": "a step",
    "set": "key=value, such as training.epochs=20",
}
"""What the value of an action is."""


@click.command()
@click.argument("run")
@click.argument("action", metavar="ACTION", type=click.Choice([*_PLAIN, *_WANTED]))
@click.argument("value", required=False)
@runs_dir_option
def ctl(run: str, action: str, value: str | None, runs_dir: Path) -> None:
    """Steer a living RUN, and wait until it has obeyed.

    \b
    pause | resume | stop | checkpoint | evaluate
    lr VALUE          the base learning rate
    set KEY=VALUE     a setting that can be changed live, such as training.epochs=20
    freeze PATTERN    a path or glob, such as layer4 or '*.bias'
    thaw PATTERN
    rewind STEP       back to the newest checkpoint at or before STEP
    auto-rgn          measure relative gradient norms, make them the multipliers;
                      everything trains then
    stages            call off the stages of the plan that are still to come
    """
    command = _command(lambda: store.find(run, runs_dir), action, value)
    answer = asyncio.run(_send(run, runs_dir, command))
    more = "; everything trains now" if isinstance(command, c.AutoRGN) else ""
    click.echo(f"{c.describe(command)}: applied at step {answer.step}{more}")


def _command(find: Callable[[], Path], action: str, value: str | None) -> c.AnyCommand:
    """`find` gives the run's folder; what is wrong with the words is told first."""
    if action in _PLAIN:
        if value is not None:
            raise UserError(f"{action} takes no value.")
        return _PLAIN[action]()
    if not value:
        raise UserError(f"{action} needs {_WANTED[action]}.")
    match action:
        case "lr":
            return c.SetLearningRate(_rate(value))
        case "freeze":
            return c.Freeze(value)
        case "thaw":
            return c.Thaw(value)
        case "rewind":
            return c.Rewind(_step(value))
    key, equals, text = value.partition("=")
    if not equals:
        raise UserError(f'set needs {_WANTED[action]}, not "{plain(value)}".')
    return live_command(toml.load(find() / store.CONFIG), key.strip(), text.strip())


def _rate(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise UserError(f'lr must be a number such as 0.001, not "{plain(value)}".') from None


def _step(value: str) -> int:
    if not value.isdecimal():
        raise UserError(f'rewind needs a step, a whole number, not "{plain(value)}".')
    return int(value)


async def _send(run: str, runs_dir: Path, command: c.AnyCommand) -> engine.CommandApplied:
    try:
        return await engine.attach(run, runs_dir).send(command)
    except CommandRefused as refused:
        raise CommandError(1, str(refused)) from None
