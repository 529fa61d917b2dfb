"""Data as a person looks at it before it trains: answers to questions about samples."""

from functools import lru_cache

import msgspec
from msgspec.structs import replace

from engine.contract.config import Config, DataConfig, TrainingConfig
from engine.contract.inspection import AskSamples, Samples
from engine.data.preview import How, Preview
from engine.data.transforms import Augmentation
from engine.tasks import TASKS


def samples(asked: AskSamples) -> Samples:
    """Raises `UserError` where the data or the model can't be used."""
    data = asked.config.data
    found = _preview(_key(asked.config))
    part = found.train if asked.part == "train" else found.val
    there = part.of(asked.of)
    how = How(Augmentation(), 0, asked.size)
    if asked.epoch is not None:
        how = How(Augmentation(data.augment, data.augment_strength), asked.epoch, asked.size)
    numbers = [there[number] for number in asked.numbers if 0 <= number < len(there)]
    return Samples(len(there), [part.shown(number, found.classes, how) for number in numbers])


@lru_cache(1)
def _preview(key: bytes) -> Preview:
    config = msgspec.json.decode(key, type=Config)
    return TASKS[config.task].preview(config, lambda _: None)


def _key(config: Config) -> bytes:
    """The config without what its samples don't depend on."""
    plain = DataConfig(path="-")
    data = replace(config.data, augment=plain.augment, augment_strength=plain.augment_strength)
    rest = Config(
        config.task,
        config.model,
        data,
        images=config.images,
        text=config.text,
        segmentation=config.segmentation,
        training=TrainingConfig(seed=config.training.seed),
    )
    return msgspec.json.encode(rest)
