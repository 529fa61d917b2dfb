"""From a config to a session that is ready to train, from the start or from a checkpoint."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from engine import checkpoint, device, memory, models, restore, speed, tasks
from engine.checkpoint import Checkpoint
from engine.contract import consistency
from engine.contract.config import Config
from engine.contract.events import (
    Event,
    ModelLoaded,
    PreparationAdvanced,
    Warned,
)
from engine.data import Feeding, most_workers
from engine.device import Device
from engine.past import Past
from engine.script import Line, Script
from engine.session import Session

Tell = Callable[[Event], None]

_KEPT = 0.15
"""Of the free memory, for decoded pictures of training and of validation each: what trains, and
what is remembered of a frozen prefix, needs the rest."""


def prepare(
    config: Config,
    folder: Path,
    past: Past,
    saved: Checkpoint | None,
    tell: Tell,
    close_fds: Sequence[int],
    script: Script | None = None,
    taken: Line | None = None,
) -> Session:
    """Index the data, load the model, restore the checkpoint; `tell` hears of each stage, and
    `taken` is as for `restore.begin`.

    Raises `UserError` for whatever the user can mend.
    """
    consistency.check(config)
    if unread := consistency.unread(config):
        tell(Warned(message=unread))
    past.follow(config)
    _set_threads(config, past, tell)
    chosen = device.choose(config.training, past.speed)
    if chosen.warning:
        tell(Warned(message=chosen.warning))
    if chosen.torch_device.type == "cpu":
        memory.keep_freed()

    def stage(words: str) -> None:
        tell(PreparationAdvanced(stage=words))

    task = tasks.TASKS[config.task]
    index = task.index(config, stage)
    tell(index.told())
    for file in index.skipped:
        if file.path not in past.skipped:
            tell(file)

    torch.manual_seed(config.training.seed)  # for the new head
    stage(f"loading {config.model.name}")
    memory.begin_counting()
    loaded = models.load(config, len(index.classes), stage, structure_only=saved is not None)
    origin = f"{checkpoint.FOLDER}/{saved.path.name}" if saved else loaded.weights
    tell(ModelLoaded(model=loaded.info, weights=origin, code=loaded.code))
    if past.code not in ("", loaded.code):
        message = f"{config.model.name} is not what it was when the run began: its file changed."
        tell(Warned(message=message))

    stage(f"moving the model to {chosen.name}")
    train_data, val_data = task.data(
        config, index, loaded, _feeding(config, chosen, close_fds, tell)
    )
    session = Session(
        config,
        folder,
        loaded.info,
        loaded.module,
        index.classes,
        train_data,
        val_data,
        chosen,
        task.objective(config, index),
        progress=restore.progress(config, loaded.info, saved),
        samples=index.digest,
        name_of=index.name_of,
        told=[*past.skipped, *(file.path for file in index.skipped)],
    )
    for warning in restore.begin(session, past, saved, script, taken):
        tell(Warned(message=warning))
    if measured := speed.measure(session, known=past.speed is not None, tell=stage):
        tell(measured)
    for event in speed.compile_ahead(session, stage):
        tell(event)
    return session


def _set_threads(config: Config, past: Past, tell: Tell) -> None:
    """As asked, or as many as before: sums over other numbers of threads round otherwise."""
    own_choice = torch.get_num_threads()
    if config.training.threads != "auto":
        torch.set_num_threads(config.training.threads)
    elif past.threads not in (None, own_choice):
        torch.set_num_threads(past.threads)
        message = (
            f"The run goes on with as many CPU threads as before, {past.threads}, for the same "
            f"results; torch's own choice here would be training.threads={own_choice}."
        )
        if past.threads != past.measured_threads:
            tell(Warned(message=message))


def _feeding(config: Config, chosen: Device, close_fds: Sequence[int], tell: Tell) -> Feeding:
    asked, kind = config.data.workers, chosen.torch_device.type
    room = most_workers(kind, torch.get_num_threads())
    return Feeding(
        workers=0 if asked == "auto" else asked,
        up_to=room if asked == "auto" else 0,
        wait=chosen.wait,
        pin_memory=kind == "cuda",
        keep=int(_KEPT * memory.free()) if config.data.decoded == "auto" else 0,
        close_fds=close_fds,
        tell=tell,
    )
