"""What a model said of each validation sample, kept in the run's folder.

Nothing of it is needed to go on with a run: where it can't be written, that is told, and no more.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from engine.contract.events import Evaluated, Event, PredictionsSaved, Warned
from engine.contract.predictions import BEST, NEWEST, ROWS, Masks, Predictions, Row
from engine.contract.text import plain
from engine.session import Session
from engine.tally import Tally
from engine.tasks.measured import finite


def keep(session: Session, evaluated: Evaluated, tally: Tally) -> Iterator[Event]:
    """Write what an evaluation came to as the newest predictions."""
    if session.name_of is None:
        return
    step, epoch, samples = evaluated.step, evaluated.epoch, evaluated.samples
    saved = PredictionsSaved(step=step, epoch=epoch, path=NEWEST, samples=samples)
    yield from _try(
        session, saved, lambda: msgspec.json.encode(_predictions(session, evaluated, tally))
    )


def keep_best(session: Session, told: Iterable[Event]) -> Iterator[Event]:
    """Have the predictions that an evaluation told of be the best ones, too."""
    for saved in (event for event in told if isinstance(event, PredictionsSaved)):
        yield from _try(session, replace(saved, path=BEST), (session.folder / NEWEST).read_bytes)


def _predictions(session: Session, evaluated: Evaluated, tally: Tally) -> Predictions:
    objective, name_of = session.objective, session.name_of
    assert name_of
    losses = tally.rows[:, 0].double().nan_to_num(nan=np.inf).numpy()
    worst = np.argsort(-losses, kind="stable")[:ROWS].tolist()
    rows = [
        Row(
            number=(number := tally.numbers[at]),
            name=name_of(number),
            loss=finite(float(losses[at])),
            labels=list(verdict.labels),
            said=list(verdict.said),
            score=verdict.score,
        )
        for at, verdict in zip(worst, objective.verdicts(tally.rows[worst]), strict=True)
    ]
    outcome = objective.outcome(tally.sums, tally.rows)
    return Predictions(
        task=session.config.task,
        step=evaluated.step,
        epoch=evaluated.epoch,
        samples=len(tally),
        classes=session.classes,
        score=objective.score,
        counts=outcome.counts,
        cells=outcome.cells,
        rows=rows,
        masks=[_masks(tally.numbers[at], tally.masks[at]) for at in worst if at in tally.masks],
    )


def _masks(number: int, masks: Tensor) -> Masks:
    true, said = (masks.numpy() + 1).astype(np.uint16)
    return Masks(number, _png(true), _png(said))


def _png(mask: NDArray[np.uint16]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "png")
    return file.getvalue()


def _try(
    session: Session, saved: PredictionsSaved, content: Callable[[], bytes]
) -> Iterator[Event]:
    """What was saved, or a warning where the disk refuses."""
    try:
        _write(session.folder / saved.path, content())
    except OSError as error:
        why = plain(error.strerror or error)
        yield Warned(
            message=f"{saved.path} could not be written ({why}), so the predictions of step "
            f"{saved.step} are not kept; the next evaluation tries again."
        )
    else:
        yield saved


def _write(path: Path, content: bytes) -> None:
    """Whole, or as it was. Raises `OSError`."""
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
