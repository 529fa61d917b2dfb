"""`ftui predictions`: what a run's model said of its validation data."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from engine.contract.errors import UserError
from engine.contract.predictions import BEST, NEWEST, ROWS
from engine.contract.text import plain
from engine.runs import store
from engine.runs.predictions import as_csv, load
from ftui.cli.look import print_table
from ftui.cli.options import runs_dir_option
from ftui.format import count
from ftui.predicted import WORDS, class_columns, class_rows, heading, row_cells, row_columns


@click.command()
@click.argument("run")
@click.option("--best", is_flag=True, help="Of the best evaluation, not of the newest.")
@click.option(
    "--worst", type=click.IntRange(0), default=10, show_default=True, help="Samples that are shown."
)
@click.option(
    "--csv",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"Write the samples there, the worst {ROWS:,} at most.",
)
@runs_dir_option
def predictions(run: str, best: bool, worst: int, file: Path | None, runs_dir: Path) -> None:
    """Print the figures of each class and the worst losses of RUN's newest evaluation."""
    folder = store.find(run, runs_dir)
    saved = store.state_of(folder)[0].predictions.get(BEST if best else NEWEST)
    if saved is None:
        raise UserError(f"{plain(folder.name)} has kept no predictions yet: nothing was evaluated.")
    found = load(folder, saved.path)
    click.echo(heading(found))
    if found.counts:
        click.echo()
        _print(class_columns(found), class_rows(found))
    if worst:
        click.echo()
        _print(row_columns(found), row_cells(found, islice(found.rows, worst)))
    if file:
        try:
            file.write_text(as_csv(found), encoding="utf-8")
        except OSError as error:
            raise UserError(f"{plain(file)} can't be written ({plain(error.strerror)}).") from None
        click.echo(f"\n{count(len(found.rows), 'line')} in {plain(file)}")


def _print(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, justify="left" if name in WORDS else "right")
    for row in rows:
        table.add_row(*map(Text, row))
    print_table(table)
