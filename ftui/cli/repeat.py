"""`ftui fork` and `ftui replay`: new runs made of the past of another."""

import asyncio
from pathlib import Path

import click

import engine
from engine.contract.state import RunState
from engine.contract.text import plain
from engine.runs import store
from ftui.cli import follow
from ftui.cli.options import CommandError, runs_dir_option, set_option
from ftui.cli.train import foreground_option, watch


@click.command()
@click.argument("run")
@click.option(
    "--at", "step", type=click.IntRange(0), required=True, help="The last step in common."
)
@set_option
@runs_dir_option
@foreground_option
def fork(run: str, step: int, overrides: tuple[str, ...], runs_dir: Path, foreground: bool) -> None:
    """Start a new run that is RUN up to a step, and goes on from there with changes.

    What was changed in RUN while it was live is part of it.
    """

    async def start() -> None:
        await watch(await engine.fork(run, step, overrides, runs_dir), foreground)

    asyncio.run(start())


@click.command()
@click.argument("run")
@runs_dir_option
def replay(run: str, runs_dir: Path) -> None:
    """Repeat RUN from its start, commands included, and compare the weights.

    The repetition is a run of its own. Exit code 0 where all weights are equal bit for bit, which
    they must be on a CPU; 1 where they are not.
    """
    state = asyncio.run(_replayed(run, runs_dir))
    compared = state.comparison
    if compared is None:
        raise CommandError(1, f"The replay of {plain(run)} ended before it could be compared.")
    if compared.different:
        raise CommandError(
            1,
            f"{len(compared.different)} of {compared.tensors} tensors differ at step "
            f"{compared.step}, the largest difference is {compared.largest:.3g}.",
        )
    click.echo(f"all {compared.tensors} tensors are equal bit for bit at step {compared.step}")


async def _replayed(run: str, runs_dir: Path) -> RunState:
    repeated = await engine.replay(store.find(run, runs_dir), runs_dir)
    try:
        await follow.until_end(repeated)
    except CommandError:  # it stops where the other one was stopped
        if repeated.state.comparison is None:
            raise
    return repeated.state
