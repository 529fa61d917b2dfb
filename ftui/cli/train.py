"""`ftui train` and `ftui resume`: start a worker, and watch it where asked."""

import asyncio
import json
from pathlib import Path

import click
import msgspec

import engine
from engine.contract import toml
from engine.contract.config import Config
from engine.contract.fields import all_fields, rule_fields
from engine.contract.text import plain
from engine.runs import launch, store
from engine.runs.client import Run
from ftui.cli import follow
from ftui.cli.options import called, runs_dir_option, set_option

foreground_option = click.option(
    "--foreground", is_flag=True, help="Show progress until the run ends; Ctrl+C saves and stops."
)


def _help_config(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        for field in [*all_fields(), *rule_fields()]:
            default = field.default
            known = "" if default in (msgspec.NODEFAULT, None) else f" = {json.dumps(default)}"
            click.echo(f"{field.key}{known}\n    {field.help} ({field.expected})")
        ctx.exit()


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@set_option
@runs_dir_option
@foreground_option
@click.option(
    "--help-config",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_help_config,
    help="List every setting of a config with its default, and leave.",
)
def train(config: Path, overrides: tuple[str, ...], runs_dir: Path, foreground: bool) -> None:
    """Train what the TOML file CONFIG says, in a process that outlives this terminal."""
    asyncio.run(start(toml.load(config, overrides), runs_dir, foreground))


@click.command()
@click.argument("run")
@set_option
@runs_dir_option
@foreground_option
def resume(run: str, overrides: tuple[str, ...], runs_dir: Path, foreground: bool) -> None:
    """Go on with a stopped or crashed RUN, or with a finished one that gets more epochs."""

    async def go_on() -> None:
        await watch(await engine.resume(store.find(run, runs_dir), overrides), foreground)

    asyncio.run(go_on())


async def start(config: Config, runs_dir: Path, foreground: bool) -> None:
    """Start a run and return once it trains, or once it has ended with `foreground`."""
    await watch(await engine.start(config, runs_dir), foreground)


async def watch(run: Run, foreground: bool) -> None:
    """Return once `run` trains, or once it has ended with `foreground`."""
    if foreground:
        await follow.until_end(run)
        return
    await follow.until_training(run)
    if warning := launch.warn_if_killed_on_logout():
        click.echo(f"warning: {warning}", err=True)
    watch = f"{called()} attach {plain(follow.short(run.folder))}"
    click.echo(f"training in the background (pid {run.state.pid}); watch it: {watch}")
    click.echo(str(run.folder))
