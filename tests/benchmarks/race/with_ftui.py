"""ftui as it is: `engine.start`, a detached worker, its journal, evaluations and checkpoints.

It can't go without evaluations; where nobody else evaluates, val/ holds a picture a class. What an
epoch took is read from the journal: from `EpochStarted`, of the first one from the last words of
preparation, so that measuring and computing what is frozen count in it, to the evaluation.
"""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from msgspec import convert, to_builtins

import engine
from engine.contract import events as e
from engine.contract import toml
from engine.contract.config import Config
from tests.benchmarks.peak import peak_memory
from tests.benchmarks.race.asked import MOMENTUM, Job, Seen


def config(job: Job) -> Config:
    """The job in ftui's words; `job.settings` come last."""
    rules = [{"match": path, "train": True} for path in job.trains if path]
    table = {
        "task": "image-classification",
        "model": {"name": job.model, "weights": job.weights},
        "data": {
            "path": job.data,
            "image_size": job.preprocessing.image_size,
            "batch_size": job.batch_size,
            "augment": "standard" if job.augment else "none",
        },
        "trainable": [{"match": "*", "train": not rules}, *rules],
        "optimizer": {
            "name": job.optimizer,
            "lr": job.lr,
            "momentum": MOMENTUM,
            "weight_decay": 0.0,
        },
        "schedule": {"name": "constant"},
        "training": {
            "epochs": job.epochs,
            "seed": job.seed,
            "label_smoothing": job.smoothing,
        },
    }
    return toml.with_overrides(convert(to_builtins(table), Config), job.settings)


async def follow(job: Job, runs: Path, started: float) -> Seen:
    """Start the run, and see it to its end. Raises `RuntimeError` where it fails."""
    seen, began, worker = Seen(), 0.0, 0
    run = await engine.start(config(job), runs)
    async for event in run.events():
        match event:
            case e.RunStarted():
                worker = event.pid
            case e.PreparationAdvanced():
                began = event.time
            case e.TrainingStarted():
                seen.precision = event.precision
                layout = "channels last" if event.channels_last else "channels first"
                seen.about = f"{event.precision}, {layout}, {event.threads} threads"
            case e.PrefixCached(data="training"):
                seen.about += f"; {event.cut or event.why}"
            case e.EpochStarted(epoch=epoch):
                began = began if epoch == 1 else event.time
            case e.StepsTrained():
                seen.first_step = seen.first_step or event.time - started
            case e.Evaluated():
                seen.epochs.append(event.time - event.seconds - began)
                seen.evaluations.append((event.time - started, event.figures["top1"]))
        with suppress(OSError):
            seen.peak = max(seen.peak, peak_memory(worker or "self"))
    if run.state.phase != "finished":
        raise RuntimeError(f"{run.folder}: {run.state.error}")
    seen.peak += peak_memory()
    return seen


def train(job: Job, started: float) -> Seen:
    os.environ["FTUI_CACHE"] = "off"  # nothing of the round before
    return asyncio.run(follow(job, Path(job.data).parent / "runs", started))
