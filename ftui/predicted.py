"""What a model said of the validation data, in the words that the app and the command line have."""

import os
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len, set_cell_size

from engine.contract.predictions import ClassFigures, Predictions, Row
from engine.contract.tasks import TASKS
from engine.contract.text import plain
from engine.runs.predictions import names
from ftui.format import count, number, percent

SEGMENTATION = "semantic-segmentation"
WORDS = ("class", "label", "predicted", "name")
"""Columns that hold no figures."""
_NAME = 200
_WIDEST = 24


def heading(found: Predictions) -> str:
    """Where the run was, and how much was looked at."""
    task = TASKS[found.task]
    words = f"epoch {found.epoch}, step {found.step:,}: {count(found.samples, task.sample)}"
    if found.cells and found.task != SEGMENTATION:
        words += f", {found.samples - sum(x.right for x in found.counts):,} wrong"
    return words


def class_columns(found: Predictions) -> list[str]:
    """Of `class_rows`."""
    unit = "pixels" if found.task == SEGMENTATION else f"{TASKS[found.task].sample}s"
    iou = ["IoU"] if found.task == SEGMENTATION else []
    return ["class", "precision", "recall", "F1", *iou, unit]


def class_rows(found: Predictions) -> Iterator[list[str]]:
    """A row a class."""
    iou = found.task == SEGMENTATION
    for figures in found.figures():
        yield [plain(figures.name), *map(_share, _shares(figures, iou)), f"{figures.support:,}"]


def label_columns(found: Predictions) -> list[str]:
    """Of `label_rows`: true and false, positives and negatives, before the figures."""
    _, *figures = class_columns(found)
    return ["label", "TP", "FP", "FN", "TN", *figures]


def label_rows(found: Predictions) -> Iterator[list[str]]:
    """A row a class where samples have several: each class has a matrix of its own, of four."""
    for (right, said, there), (name, *figures) in zip(found.counts, class_rows(found), strict=True):
        matrix = right, said - right, there - right, found.samples - said - there + right
        yield [name, *(f"{times:,}" for times in matrix), *figures]


def row_columns(found: Predictions) -> list[str]:
    """Of `row_cells`."""
    classes = ["label", "predicted"] if any(row.labels or row.said for row in found.rows) else []
    return ["loss", *([found.score] if found.score else []), *classes, "name"]


def row_cells(found: Predictions, rows: Iterable[Row], below: str = "") -> Iterator[list[str]]:
    """Some samples, a row each; names without what they begin with, `below`."""
    columns = row_columns(found)
    for row in rows:
        scores = [score(found, row)] if found.score else []
        sets = [said(found, row.labels), said(found, row.said)] if "label" in columns else []
        yield [number(row.loss), *scores, *sets, plain(row.name.removeprefix(below), _NAME)]


def said(found: Predictions, classes: Sequence[int]) -> str:
    """Classes by their names; `-` for none."""
    return plain(names(found, classes, ", ")) or "-"


def score(found: Predictions, row: Row) -> str:
    """What a sample's score is: 91.2 %, 23.41."""
    is_share = found.score != TASKS["causal-lm"].main
    return _share(row.score) if is_share else number(row.score)


def _shares(figures: ClassFigures, iou: bool) -> list[float | None]:
    return [figures.precision, figures.recall, figures.f1, *([figures.iou] if iou else [])]


def _share(value: float | None) -> str:
    return "-" if value is None else percent(value)


def aligned(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of cells under each other, the headings first; the last column is as long as it is."""
    table = [columns, *rows]
    widths = [min(_WIDEST, max(map(cell_len, column))) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            [*(_padded(*cell) for cell in zip(row[:-1], widths, columns, strict=False)), row[-1]]
        )
        for row in table
    ]


def _padded(text: str, width: int, column: str) -> str:
    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + "…"
    blanks = " " * (width - cell_len(text))
    return text + blanks if column in WORDS else blanks + text


def common_folder(found: Predictions) -> str:
    """What the names of all samples begin with, up to a slash."""
    start = os.path.commonprefix([row.name for row in found.rows])  # noqa: RUF071 (no paths)
    return start[: start.rfind("/") + 1]
