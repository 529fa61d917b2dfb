"""Data as a person looks at it before it trains: answers to questions about samples."""

from functools import lru_cache

import msgspec
from msgspec.structs import replace

from engine.contract.config import Config, DataConfig
from engine.contract.inspection import AskData, AskSamples, AskScan, Overview, Samples, Scan
from engine.contract.training_tables import TrainingConfig
from engine.data.preview import How, Preview, TextPart
from engine.data.transforms import Augmentation
from engine.scan import Search
from engine.tasks import TASKS

_NAMED = 100
"""Files that an answer names at most."""


def answer(asked: AskData | AskSamples | AskScan) -> Overview | Samples | Scan:
    """Raises `UserError` where the data or the model can't be used."""
    match asked:
        case AskData():
            return overview(asked)
        case AskSamples():
            return samples(asked)
        case AskScan():
            return scan(asked)


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
    return Samples(len(there), [part.shown(number, found.told.classes, how) for number in numbers])


def overview(asked: AskData) -> Overview:
    """Of the data as it lies on the disk now. Raises `UserError` where it can't be used."""
    _preview.cache_clear()
    _search.cache_clear()
    found = _preview(_key(asked.config))
    told, remarks = found.told, list(found.remarks)
    if isinstance(found.train, TextPart) and (problem := found.train.reader().problem):
        remarks.append(f"Tokens are not counted. {problem}")
    return Overview(
        classes=told.classes,
        train_counts=told.train_counts,
        val_counts=told.val_counts,
        train=len(found.train),
        val=len(found.val),
        held_out=found.held_out,
        baseline=told.baseline,
        skipped=len(found.skipped),
        first_skipped=list(found.skipped[:_NAMED]),
        remarks=remarks,
    )


def scan(asked: AskScan) -> Scan:
    """Goes on for so many seconds where the last one left off."""
    search = _search(_key(asked.config))
    search.go_on(asked.seconds)
    return search.found()


@lru_cache(1)
def _search(key: bytes) -> Search:
    found = _preview(key)
    return Search(found.train, found.val)


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
