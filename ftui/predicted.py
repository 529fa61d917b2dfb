"""What a model said of the validation data, in the words that the app and the command line have."""

from collections.abc import Iterable, Iterator, Sequence

from engine.contract.predictions import ClassFigures, Predictions, Row
from engine.contract.tasks import TASKS
from engine.contract.text import plain
from engine.runs.predictions import names
from ftui.format import count, number, percent

SEGMENTATION = "semantic-segmentation"
_NAME = 200


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


def row_columns(found: Predictions) -> list[str]:
    """Of `row_cells`."""
    classes = ["label", "predicted"] if any(row.labels or row.said for row in found.rows) else []
    return ["loss", *([found.score] if found.score else []), *classes, "name"]


def row_cells(found: Predictions, rows: Iterable[Row]) -> Iterator[list[str]]:
    """Some samples, a row each."""
    columns = row_columns(found)
    for row in rows:
        score = [_score(found, row)] if found.score else []
        sets = [said(found, row.labels), said(found, row.said)] if "label" in columns else []
        yield [number(row.loss), *score, *sets, plain(row.name, _NAME)]


def said(found: Predictions, classes: Sequence[int]) -> str:
    """Classes by their names; `-` for none."""
    return plain(names(found, classes, ", ")) or "-"


def _score(found: Predictions, row: Row) -> str:
    is_share = found.score != TASKS["causal-lm"].main
    return _share(row.score) if is_share else number(row.score)


def _shares(figures: ClassFigures, iou: bool) -> list[float | None]:
    return [figures.precision, figures.recall, figures.f1, *([figures.iou] if iou else [])]


def _share(value: float | None) -> str:
    return "-" if value is None else percent(value)
