"""`ftui find`: a learning rate or a batch size, before a run starts."""

import asyncio
import shutil
import sys
from contextlib import aclosing
from pathlib import Path

import click

from engine.contract import toml
from engine.contract.events import PreparationAdvanced, Warned
from engine.contract.finding import RateTried, SizeTried
from engine.contract.text import plain
from engine.runs import finder, store
from ftui.cli.options import called, runs_dir_option, set_option
from ftui.finding import Key, Search
from ftui.widgets.plot import Look, render_text

_HEIGHT, _WIDEST = 16, 100
_TOLD_EVERY = 10
"""Steps of the range test."""


@click.group()
def find() -> None:
    """Find a learning rate or a batch size by trying, before a run starts."""


@find.command()
@click.argument("which", metavar="CONFIG|RUN")
@set_option
@runs_dir_option
def lr(which: str, overrides: tuple[str, ...], runs_dir: Path) -> None:
    """Train at rates that grow, and see where the loss falls steepest: the range test.

    Multipliers and what is frozen stay as planned. Nothing that is trained is kept.
    """
    _find("optimizer.lr", which, overrides, runs_dir)


@find.command()
@click.argument("which", metavar="CONFIG|RUN")
@set_option
@runs_dir_option
def batch(which: str, overrides: tuple[str, ...], runs_dir: Path) -> None:
    """Measure batches of sizes that double, until they are no faster or memory would be short."""
    _find("data.batch_size", which, overrides, runs_dir)


def _find(key: Key, which: str, overrides: tuple[str, ...], runs_dir: Path) -> None:
    path = Path(which)
    config = path if path.suffix == ".toml" else store.find(which, runs_dir) / store.CONFIG
    search = Search(key, toml.load(config, overrides))
    asyncio.run(_until_found(search))
    width = min(_WIDEST, shutil.get_terminal_size().columns)
    utf8 = "utf" in (sys.stdout.encoding or "").lower()
    look = Look("braille" if utf8 else "ascii", smoothing=search.smoothing)
    for figure in search.figures:
        drawn = render_text(
            [figure.series],
            width,
            _HEIGHT,
            markers=search.markers,
            look=look,
            scale=search.scale,
        )
        click.echo(f"\n{drawn}")
    click.echo(f"\n{search.words}")
    if search.value:
        if search.then:
            click.echo(search.then)
        click.echo(f"{called()} train {plain(config)} --set {key}={search.value}")


async def _until_found(search: Search) -> None:
    """Progress goes to standard error, so that what is found can be piped."""
    async with aclosing(finder.find(search.sought)) as findings:
        async for finding in findings:
            search.apply(finding)
            match finding:
                case Warned(message=message):
                    click.echo(f"warning: {plain(message)}", err=True)
                case RateTried() if len(search.rates) % _TOLD_EVERY != 1:
                    pass
                case PreparationAdvanced() | RateTried() | SizeTried():
                    click.echo(search.words, err=True)
