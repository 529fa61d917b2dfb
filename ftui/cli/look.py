"""`ftui attach`, `ftui ls`, `ftui plan` and `ftui inspect`: looking, changing nothing."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table
from rich.text import Text

import engine
from engine.contract import planfile, toml
from engine.contract.text import plain
from engine.contract.tree import ModelInfo, subtree_parameters
from engine.runs import store
from engine.runs.inspect import Inspector
from ftui.cli import follow
from ftui.cli.options import app_options, interactive, open_app, runs_dir_option
from ftui.format import best_main, short

_UNLIMITED = 10_000
_TASK = "image-classification"
"""Of a model that the catalogue does not list."""
"""Columns where there is no terminal; a table takes what it needs of them."""


@click.command()
@click.argument("run")
@runs_dir_option
@app_options
def attach(run: str, runs_dir: Path, **look: Any) -> None:
    """Open the app on RUN; without a terminal, follow it in lines until it ends."""
    folder = store.find(run, runs_dir)
    if interactive():
        open_app(folder, runs_dir, **look)
        return
    asyncio.run(follow.until_end(engine.attach(folder), own=False))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One object a run, for programs.")
@runs_dir_option
def ls(as_json: bool, runs_dir: Path) -> None:
    """List the runs, newest first."""
    runs = store.summaries(runs_dir)
    if as_json:
        shown = [replace(run, name=_utf8(run.name), path=_utf8(run.path)) for run in runs]
        click.echo(msgspec.json.format(msgspec.json.encode(shown), indent=2))
    elif not runs:
        click.echo(f"No runs in {plain(runs_dir)}; ftui demo or ftui train CONFIG starts one.")
    else:
        print_table(_runs_table(runs))


def _utf8(path: str) -> str:
    """`path` with marks for the bytes that are not UTF-8, which JSON must be."""
    return os.fsencode(path).decode("utf-8", "replace")


def print_table(table: Table) -> None:
    """Fit the terminal; whoever reads a pipe wants all of it."""
    Console(width=None if sys.stdout.isatty() else _UNLIMITED).print(table)


def _runs_table(runs: list[store.RunSummary]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("name", min_width=max(len(run.name) for run in runs))  # to be copied whole
    for name in ("state", "epoch", "step", "best", "model"):
        table.add_column(name, justify="right" if name in ("epoch", "step") else "left")
    for run in runs:
        table.add_row(
            Text(plain(run.name)),
            run.state,
            f"{run.epoch}/{run.epochs}",
            f"{run.step}/{run.total_steps}" if run.total_steps else str(run.step),
            best_main(run),
            Text(plain(run.model)),
        )
    return table


@click.command()
@click.argument("run")
@runs_dir_option
def plan(run: str, runs_dir: Path) -> None:
    """Print the plan in force of RUN, with the stages to come, as TOML."""
    folder = store.find(run, runs_dir)
    state, _ = store.state_of(folder)
    if state.rules:
        click.echo(planfile.dump(state.rules, state.stages), nl=False)
        return
    asked = state.config or toml.load(folder / store.CONFIG)  # no plan is in force before step 1
    if not asked.trainable:
        click.echo("# No rules: only the head trains.")
    click.echo(planfile.dump(asked.trainable, asked.stages), nl=False)


@click.command()
@click.argument("model")
@click.option("--weights", default="none", help="As in the config; only its structure is read.")
@click.option("--depth", type=click.IntRange(1), default=2, show_default=True, help="Levels shown.")
@click.option("--json", "as_json", is_flag=True, help="The whole tree, for programs.")
def inspect(model: str, weights: str, depth: int, as_json: bool) -> None:
    """Show the modules of MODEL (SOURCE/NAME) with their parameter counts."""
    info = asyncio.run(_describe(model, weights))
    totals = subtree_parameters(info)
    if as_json:
        modules = [
            {"path": m.path, "type": m.type, "parameters": totals[m.path]} for m in info.modules
        ]
        found = {
            "model": info.name,
            "total_parameters": info.total_parameters,
            "image_size": info.preprocessing and info.preprocessing.image_size,
            "positions": info.positions,
            "head": info.head,
            "modules": modules,
        }
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("module")
    table.add_column("type")
    table.add_column("parameters", justify="right")
    for module in info.modules:
        level = module.path.count(".")
        if level < depth:
            name = Text("  " * level + plain(module.path.rpartition(".")[2]))
            table.add_row(name, Text(plain(module.type)), short(totals[module.path]))
    print_table(table)
    head = ", ".join(map(plain, info.head))
    click.echo(f"{plain(info.name)}: {info.total_parameters:,} parameters, head {head}")


async def _describe(model: str, weights: str) -> ModelInfo:
    inspector = Inspector()
    await inspector.start()
    try:
        known = (await inspector.catalogue()).entries
        tasks = next((entry.tasks for entry in known if entry.name == model), (_TASK,))
        return await inspector.describe(model, weights, task=tasks[0])
    finally:
        await inspector.close()
