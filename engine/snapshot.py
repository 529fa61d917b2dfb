"""The tensors of a session to the files of a checkpoint and back."""

from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
from torch import Tensor

from engine import adapters, checkpoint, optim, shards
from engine.checkpoint import TRAINING, Checkpoint, Manifest
from engine.contract.errors import UserError
from engine.contract.events import CheckpointSaved
from engine.contract.text import plain
from engine.files import refusals
from engine.session import Session

Reason = Literal["start", "epoch", "steps", "command", "stop", "end", "rewind", "fork", "found"]


def save(session: Session, reason: Reason, best: bool = False) -> CheckpointSaved:
    """Save a checkpoint; where nothing has changed since the last one, that one is told again.

    What is pending must have been flushed. Raises `UserError` where the disk refuses.
    """
    manifest = Manifest(session.progress, session.asked, session.classes, best, session.samples)
    keep_last = session.config.checkpoints.keep_last
    progress = msgspec.json.encode(session.progress)
    last, saved_progress = session.last_saved
    try:
        if last is None or progress != saved_progress:
            stamp = shards.stamp(session.module)
            same_frozen = last if stamp and stamp == session.frozen_as else None
            last = checkpoint.save(
                session.folder, manifest, keep_last, lambda path: write(session, path), same_frozen
            )
            session.last_saved, session.frozen_as = (last, progress), stamp
    except OSError as error:
        raise UserError(
            f"The checkpoint of step {session.progress.step} could not be saved in "
            f"{plain(session.folder)} ({plain(error.strerror)})."
        ) from error
    finally:
        session.pending.restart_clock()
    return told(session, last, reason)


def told(session: Session, saved: Checkpoint, reason: Reason) -> CheckpointSaved:
    """The event of a checkpoint at the place where the session is."""
    return CheckpointSaved(
        step=session.progress.step,
        epoch=session.progress.epoch,
        stages_begun=session.progress.stages_begun,
        path=saved.told_as,
        reason=reason,
        best=saved.manifest.best,
        size=saved.size,
    )


def write(session: Session, folder: Path) -> None:
    """Put weights, optimizer state and generators into `folder`. Raises `OSError`."""
    metadata = {
        "model": session.info.name,
        "step": str(session.progress.step),
        "classes": "\n".join(session.classes),
    }
    training: dict[str, Any] = {
        "optimizer": optim.state_by_name(session.optimizer, session.module),
        "rng": session.device.rng_state(),
        "scaler": session.scaler.state_dict() if session.scaler else {},
    }
    if session.average:
        training["average"] = session.average.state(session.module)
    with refusals(folder):
        shards.write(folder, session.module, metadata)
        torch.save(training, folder / TRAINING)


def read(session: Session, saved: Checkpoint) -> list[str]:
    """Put a checkpoint's tensors back, and say in sentences what could not be taken over.

    Raises `UserError` where the weights are another model's, or for other classes.
    """
    if saved.manifest.classes != session.classes:
        raise UserError(_other_classes(saved, session.classes))
    weights = shards.read(saved.path)
    adapters.fit(session.module, weights)
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if found != shards.shapes(session.module):
        raise UserError(
            f"{plain(saved.path.name)}: the checkpoint does not fit {plain(session.info.name)} for "
            f"{len(session.classes)} classes; resume with the model and data it was trained with."
        )
    session.module.load_state_dict(weights, strict=False)  # names of shared tensors are missing
    training: dict[str, Any] = torch.load(
        saved.path / TRAINING, map_location="cpu", weights_only=True
    )
    session.device.set_rng_state(training["rng"])
    if session.scaler and training["scaler"]:
        session.scaler.load_state_dict(training["scaler"])
    if session.average:
        session.average.load(session.module, training.get("average"))
    if saved.manifest.config.optimizer.name != session.config.optimizer.name:
        session.optimizer.state.clear()
        return ["The optimizer is another one than before, so its moments start from zero."]
    optim.load_state_by_name(session.optimizer, session.module, training["optimizer"])
    return []


def weights(saved: Checkpoint, averaged: bool) -> dict[str, Tensor]:
    """A checkpoint's parameters and buffers by torch's names, or in their place the moving average
    of those parameters that have one."""
    tensors = shards.read(saved.path)
    if averaged:
        training = torch.load(saved.path / TRAINING, map_location="cpu", weights_only=True)
        tensors |= training["average"]["shadows"]
    return tensors


def is_finite(saved: Checkpoint) -> bool:
    """Whether no weight of a checkpoint is NaN or infinite."""
    return all(bool(torch.isfinite(x).all()) for x in shards.read(saved.path).values())


def _other_classes(saved: Checkpoint, now: list[str]) -> str:
    then = saved.manifest.classes
    gone, new = [x for x in then if x not in now], [x for x in now if x not in then]
    named = [f"{word} {', '.join(some)}" for word, some in (("gone:", gone), ("new:", new)) if some]
    how = plain("; ".join(named), 200) or "in another order"
    return (
        f"{plain(saved.path.name)}: the checkpoint was trained for other classes ({how}); resume "
        "with the data as it was."
    )
