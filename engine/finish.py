"""The finished model: the best weights there are, in one file for use outside.

WiSE-FT is Wortsman et al. 2021, arXiv:2109.01903: weights on the line between those that training
began with and those it ended with, which often do better on other data than either.
"""

import copy
import time
from collections.abc import Generator, Mapping
from typing import NamedTuple

import torch
from msgspec.structs import replace
from torch import Tensor, nn

from engine import adapters, checkpoint, origin, snapshot
from engine.contract import events as e
from engine.contract.tasks import falls
from engine.contract.text import plain
from engine.evaluate import figures
from engine.files import save_whole
from engine.progress import Progress
from engine.saving import pause_for_room
from engine.session import Session

FILE = "model.safetensors"
"""In the run's folder."""
ALPHAS = [tenths / 10 for tenths in range(11)]
"""Shares of the tuned weights that WiSE-FT tries."""


class Candidate(NamedTuple):
    """Weights that the finished model may have."""

    module: nn.Module
    """A copy of the run's, in eval mode, with these weights in it."""
    progress: Progress
    """Of the run when it had them."""
    words: str
    """Which they are, as `ModelSaved` tells it."""
    averaged: bool
    """Whether they are the moving average."""


def finish(session: Session) -> Generator[e.Event | None, None, bool]:
    """Choose the weights and write them; None at moments at which commands may be obeyed.

    The run's own module and checkpoints are left alone, so that it can go on from where it is.
    Returns false, with nothing written, where it was steered to go on meanwhile.
    """
    chosen, warnings = choose(session)
    yield from warnings
    alpha: float | None = None
    weights, words = _state(chosen.module), chosen.words
    if session.config.regularisation.wise_ft:
        start = origin.points(session.origin, chosen.progress.reinitialised)
        alpha = yield from _best_alpha(session, chosen, start, weights)
        if alpha is None:
            return False
        weights, words = blend(start, weights, alpha), f"{words}, WiSE-FT {alpha:g}"
    told = e.ModelSaved(
        step=chosen.progress.step,
        path=FILE,
        weights=words,
        size=0,
        averaged=chosen.averaged,
        alpha=alpha,
    )
    return (yield from _write(session, weights, told))


def choose(session: Session) -> tuple[Candidate, list[e.Warned]]:
    """The best checkpoint's weights, where `restore_best` asks for them, or else the last ones.

    Where the moving average is judged, it is the average as it was then.
    """
    asked, p, warnings = session.config.early_stopping, session.progress, list[e.Warned]()
    averaged = asked.metric.startswith("ema_")
    progress, words, tensors = p, "last", dict[str, Tensor]()
    if averaged and session.average:
        tensors = session.average.by_name(session.module)
    if asked.restore_best and p.best is not None:
        try:
            best = checkpoint.best(session.folder)
        except checkpoint.Damaged as error:
            warnings.append(e.Warned(message=_not_the_best(error)))
        else:
            progress, words = (
                best.manifest.progress,
                f"best, epoch {best.manifest.progress.epoch - 1}",
            )
            tensors = snapshot.weights(best, averaged)
    module = copy.deepcopy(session.module).eval()
    if progress is not p:
        adapters.fit(module, tensors)  # the plan may have others by now
    module.load_state_dict(tensors, strict=False)
    _merge_adapters(module)
    words += averaged * ", moving average"
    return Candidate(module, progress, words, averaged), warnings


def _merge_adapters(module: nn.Module) -> None:
    merged = adapters.merged_state_dict(module)
    adapters.fit(module, {})
    module.load_state_dict(merged)


def blend(
    start: Mapping[str, Tensor], tuned: Mapping[str, Tensor], alpha: float
) -> dict[str, Tensor]:
    """(1 - alpha) * start + alpha * tuned, by name; what is not in `start` is the tuned one.

    That is the head, which has no counterpart before it was trained, what the plan re-initialised,
    and counters. Running statistics are blended as weights are.
    """
    return {
        name: torch.lerp(start[name], tensor, alpha) if name in start else tensor
        for name, tensor in tuned.items()
    }


def _best_alpha(
    session: Session, chosen: Candidate, start: Mapping[str, Tensor], tuned: Mapping[str, Tensor]
) -> Generator[e.Event | None, None, float | None]:
    """Evaluate each blend; the alpha of the best by the run's metric, of equal ones the largest.

    None where the run was steered to go on meanwhile.
    """
    metric = session.config.early_stopping.metric
    sign = -1 if falls(metric) else 1
    values: list[tuple[float, float]] = []
    for alpha in ALPHAS:
        chosen.module.load_state_dict(blend(start, tuned, alpha))
        while (found := figures(session, chosen.module)) is None:
            yield None
        yield from session.pending.flush()
        yield e.InterpolationEvaluated(
            step=chosen.progress.step, alpha=alpha, loss=found.loss, figures=found.figures
        )
        value = found.value(metric.partition("_")[2])
        if value is not None:
            values.append((sign * value, alpha))
        yield None
        if not session.done:
            return None
    return max(values)[1] if values else 1.0


def _write(
    session: Session, weights: Mapping[str, Tensor], told: e.ModelSaved
) -> Generator[e.Event | None, None, bool]:
    path = session.folder / told.path
    metadata = {
        "format": "pt",  # Transformers insists on it
        "model": session.info.name,
        "classes": "\n".join(session.classes),
        "step": str(told.step),
        "weights": told.weights,
    }
    if session.info.pooling:
        metadata["pooling"] = session.info.pooling
    while session.done:
        try:
            save_whole(path, weights, metadata)
        except OSError as error:
            why = f"The finished model could not be saved in {plain(session.folder)}"
            yield from pause_for_room(session, f"{why} ({plain(error.strerror)})")
        else:
            yield replace(told, size=path.stat().st_size, time=time.time())
            return True
    return False


def _state(module: nn.Module) -> dict[str, Tensor]:
    """All of a module by the names of its own library, on the CPU, each in memory of its own."""
    return {
        name: tensor.to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in module.state_dict().items()
    }


def _not_the_best(error: checkpoint.Damaged) -> str:
    return (
        f"There is no intact checkpoint of the best evaluation ({error}), so the finished model "
        "has the last weights."
    )
