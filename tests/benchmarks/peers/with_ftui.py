"""ftui's engine: a session, its loop, commands at step boundaries, checkpoints and a journal."""

from pathlib import Path
from typing import Any

from engine import checkpoint, past
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.rules import Rule
from engine.contract.training_tables import OptimizerConfig, ScheduleConfig, TrainingConfig
from engine.data import Batch
from engine.loop import train
from engine.obey import obey
from engine.runs.journal import Journal
from engine.session import Session
from tests.benchmarks.peers.job import (
    BATCH,
    DECAY,
    EPOCHS,
    MOMENTUM,
    SCALE,
    STEM,
    STEPS,
    Job,
    Seen,
    pictures,
    pretrained,
)
from tests.engine import sessions

Script = list[tuple[int, c.AnyCommand]]


def live(job: Job, folder: Path, resume: bool) -> Seen:
    """One life of a run."""
    made = session(job, folder)
    seen = Seen(made.module, job.kill_at if not resume else None)
    seen.watch(made.optimizer)
    journal, left = Journal(folder), [] if resume else script(job)
    tell_begin(journal, made, resume)
    for event in train(made):
        if event is not None:
            journal.append(event)
            continue
        while left and left[0][0] <= made.progress.step:
            for answer in obey(made, left.pop(0)[1]):
                assert not isinstance(answer, e.CommandRejected), answer.reason
                journal.append(answer)
    return seen


def script(job: Job) -> Script:
    """The commands, by step; each is sent once in the life of the run."""
    commands: Script = []
    if job.freeze_at is not None:
        commands.append((job.freeze_at * STEPS, c.Freeze(pattern=STEM)))
    if job.thaw_at is not None:
        commands.append((job.thaw_at * STEPS, c.Thaw(pattern=STEM, lr_scale=SCALE)))
    if job.halve_at is not None:
        commands.append((job.halve_at, c.SetLearningRate(lr=job.rate / 2)))
    return commands


def session(job: Job, folder: Path) -> Session:
    """At the start, or where the newest checkpoint and the journal left it."""
    images, labels = (tensor.split(BATCH) for tensor in pictures())
    data = sessions.Batches(Batch(x, y, []) for x, y in zip(images, labels, strict=True))
    saved, _ = checkpoint.newest(folder)
    return sessions.session(folder, config(job), pretrained(), data, data, past.read(folder), saved)


def config(job: Job) -> Config:
    """What a user writes down for this job."""
    return Config(
        task="image-classification",
        model=ModelConfig(name="torchvision/small"),
        data=DataConfig(path="pictures", batch_size=BATCH),
        trainable=[Rule("*"), Rule(STEM, train=not job.frozen, lr_scale=SCALE)],
        optimizer=OptimizerConfig(
            name=job.optimizer, lr=job.rate, momentum=MOMENTUM, weight_decay=DECAY
        ),
        schedule=ScheduleConfig(name="cosine" if job.cosine else "constant"),
        training=TrainingConfig(epochs=EPOCHS, device="cpu"),
    )


def tell_begin(journal: Journal, made: Session, resume: bool) -> None:
    """The first event of a life, as the worker writes it."""
    about: dict[str, Any] = {"pid": 1, "host": "", "versions": {}, "config": made.asked}
    if resume:
        journal.append(e.RunResumed(from_step=made.progress.step, **about))
    else:
        journal.append(e.RunStarted(**about))
