"""`ftui baseline`: what is had from texts without a network."""

import asyncio
from pathlib import Path

import click

from engine.contract import toml
from engine.contract.config import Config
from engine.contract.inspection import TextBaseline
from engine.runs import store
from engine.runs.inspect import Inspector
from ftui.cli.options import runs_dir_option, set_option
from ftui.format import baseline_text, count, duration


@click.command()
@click.argument("which", metavar="CONFIG|RUN")
@set_option
@runs_dir_option
def baseline(which: str, overrides: tuple[str, ...], runs_dir: Path) -> None:
    """Fit TF-IDF with logistic regression on the texts of CONFIG or RUN, split as for a run.

    On topics it often beats a frozen language model, in seconds on a CPU.
    """
    path = Path(which)
    config = path if path.suffix == ".toml" else store.find(which, runs_dir) / store.CONFIG
    found = asyncio.run(_fitted(toml.load(config, overrides)))
    click.echo(baseline_text(found))
    click.echo(f"learnt from {count(found.train, 'text')} in {duration(found.seconds)}")


async def _fitted(config: Config) -> TextBaseline:
    inspector = Inspector()
    try:
        return await inspector.baseline(config)
    finally:
        await inspector.close()
