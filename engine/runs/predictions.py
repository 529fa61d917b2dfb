"""What a run's model said of its validation data: read from the run's folder, told as a table."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.contract.errors import UserError
from engine.contract.predictions import Predictions, Row
from engine.contract.text import plain

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def load(folder: Path, path: str) -> Predictions:
    """The predictions at `path`, as `PredictionsSaved` tells it, in a run's folder.

    Raises `UserError` where they are gone or can't be understood.
    """
    try:
        return msgspec.json.decode((folder / path).read_bytes(), type=Predictions)
    except OSError as error:
        why = f"can't be read ({plain(error.strerror)})"
    except (msgspec.DecodeError, UnicodeDecodeError):
        why = "can't be understood"
    raise UserError(f"{plain(folder / path)} {why}; v evaluates anew while the run is live.")


def as_csv(found: Predictions) -> str:
    """A line a sample, the worst loss first, under a header: number, name, loss, and as far as the
    task has them label, prediction and score.

    Of several classes the names are separated by `|`. Names that a spreadsheet would take for a
    formula get an apostrophe before them.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    classes = bool(found.classes) and any(row.labels or row.said for row in found.rows)
    score = [found.score.replace(" ", "_").lower()] if found.score else []
    writer.writerow(["sample", "name", "loss", *(["label", "predicted"] * classes), *score])
    for row in found.rows:
        sets = [names(found, row.labels), names(found, row.said)] if classes else []
        cells = [_harmless(text) for text in (row.name, *sets)]
        figures = [row.score] if score else []
        writer.writerow([row.number, cells[0], row.loss, *cells[1:], *figures])
    return file.getvalue()


def names(found: Predictions, classes: Sequence[int], between: str = "|") -> str:
    """Those of some classes."""
    return between.join(found.classes[place] for place in classes)


def is_wrong(row: Row) -> bool:
    """Whether what was said is not what is there."""
    return row.labels != row.said


def _harmless(text: str) -> str:
    """`text` that no spreadsheet computes. OWASP, CSV injection."""
    return f"'{text}" if text.startswith(_FORMULA) else text
