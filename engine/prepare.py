"""From a config to a session that is ready to train, from the start or from a checkpoint."""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import UnionType

import msgspec
import torch

from engine import data, device, models, snapshot, tasks
from engine.checkpoint import Checkpoint, Manifest
from engine.contract import plan
from engine.contract.commands import Command, Freeze, SetLearningRate, SetPlan, Thaw
from engine.contract.config import Config
from engine.contract.events import (
    DataIndexed,
    Event,
    ModelLoaded,
    PreparationAdvanced,
    Warned,
)
from engine.contract.preprocessing import Preprocessing
from engine.contract.tree import ModelInfo
from engine.past import Past
from engine.progress import Progress
from engine.session import Session

Tell = Callable[[Event], None]


def prepare(
    config: Config,
    folder: Path,
    past: Past,
    saved: Checkpoint | None,
    tell: Tell,
    close_fds: Sequence[int],
) -> Session:
    """Index the data, load the model, restore the checkpoint; `tell` hears of each stage.

    Raises `UserError` for whatever the user can mend.
    """
    if config.training.threads != "auto":
        torch.set_num_threads(config.training.threads)
    chosen = device.choose(config.training)

    def stage(words: str) -> None:
        tell(PreparationAdvanced(stage=words))

    index = data.index_folder(config.data, stage)
    tell(
        DataIndexed(
            classes=index.classes,
            train_counts=index.counts(index.train),
            val_counts=index.counts(index.val),
        )
    )
    for file in index.skipped:
        if file.path not in past.skipped:
            tell(file)

    torch.manual_seed(config.training.seed)  # for the new head
    stage(f"loading {config.model.name}")
    loaded = models.load(config, len(index.classes), stage)
    tell(ModelLoaded(model=loaded.info, weights=loaded.weights))

    stage(f"moving the model to {chosen.name}")
    train_data, val_data = _loaders(config, index, loaded.info.preprocessing, chosen, close_fds)
    progress = saved.manifest.progress if saved else _first(config, loaded.info)
    session = Session(
        config,
        folder,
        loaded.info,
        loaded.module,
        index.classes,
        train_data,
        val_data,
        chosen,
        tasks.build(config),
        progress,
        told=[*past.skipped, *(file.path for file in index.skipped)],
        redo=deque(past.to_redo(progress)),
    )
    torch.manual_seed(config.training.seed)
    if saved:
        stage(f"restoring step {progress.step}")
        for warning in snapshot.read(session, saved) + _follow(config, session, saved.manifest):
            tell(Warned(message=warning))
        if past.phase == "finished":
            progress.stale = 0  # asked to go on, early stopping is patient anew
    session.set_plan(progress.rules)
    return session


def _first(config: Config, info: ModelInfo) -> Progress:
    return Progress(config.optimizer.lr, plan.effective(config.trainable, info))


def _loaders(
    config: Config,
    index: data.DataIndex,
    pre: Preprocessing,
    chosen: device.Device,
    close_fds: Sequence[int],
) -> tuple[data.TrainLoader, data.ValLoader]:
    size, workers = config.data.image_size, config.data.workers
    pre = pre if size == "auto" else pre.at(size)
    number = data.auto_workers(chosen.torch.type) if workers == "auto" else workers
    pin = chosen.torch.type == "cuda"
    train = data.TrainLoader(
        index.train,
        config.data,
        pre,
        config.training.seed,
        number,
        pin_memory=pin,
        close_fds=close_fds,
    )
    val = data.ValLoader(index.val, config.data, pre, number, pin_memory=pin, close_fds=close_fds)
    return train, val


def _follow(config: Config, session: Session, saved: Manifest) -> list[str]:
    """Let what was changed in the config since the checkpoint win over the checkpoint.

    Returns what else should be known of it, in sentences.
    """
    p, then = session.progress, saved.config
    if config.optimizer.lr != then.optimizer.lr:
        p.base_lr = config.optimizer.lr
        _give_up(session, SetLearningRate)
    if config.trainable != then.trainable:
        p.rules = plan.effective(config.trainable, session.info)
        _give_up(session, Freeze | Thaw | SetPlan)
    if p.batch and _order(config) != _order(then):
        p.batch = 0
        return [f"The data is read otherwise than before, so epoch {p.epoch} begins anew."]
    return []


def _give_up(session: Session, kind: type[Command] | UnionType) -> None:
    """Don't repeat steering commands that a change of the config has made void."""
    void = [command for _, command in session.redo if isinstance(command, kind)]
    session.redo = deque(item for item in session.redo if item[1] not in void)
    session.progress.steering += [command.id for command in void]


def _order(config: Config) -> tuple[object, ...]:
    """All that the order and the grouping of training pictures depend on."""
    data_read = msgspec.structs.replace(config.data, workers=0)
    return data_read, config.training.accumulate, config.training.seed
