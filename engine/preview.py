"""Data as a person looks at it before it trains: answers to questions about samples."""

import msgspec
from msgspec.structs import replace

from engine.contract.config import Config, DataConfig
from engine.contract.inspection import (
    AskData,
    AskSamples,
    AskScan,
    Overview,
    Samples,
    Scan,
    Which,
)
from engine.contract.training_tables import TrainingConfig
from engine.data.preview import How, Preview, TextPart
from engine.data.transforms import Augmentation
from engine.models.source import Tell
from engine.scan import Search
from engine.tasks import TASKS

_NAMED = 100
"""Files that an answer names at most."""


def answer(asked: AskData | AskSamples | AskScan, tell: Tell) -> Overview | Samples | Scan:
    """`tell` hears how far it is. Raises `UserError` where the data or the model can't be used."""
    match asked:
        case AskData():
            return overview(asked, tell)
        case AskSamples():
            return samples(asked.config, asked.which)
        case AskScan():
            return scan(asked)


def samples(config: Config, asked: Which) -> Samples:
    """Raises `UserError` where the data or the model can't be used."""
    data = config.data
    found, _ = _listed(config)
    part = found.train if asked.part == "train" else found.val
    there = part.of(asked.of)
    how = How(Augmentation(), 0, asked.size)
    if asked.epoch is not None:
        how = How(Augmentation(data.augment, data.augment_strength), asked.epoch, asked.size)
    numbers = [there[number] for number in asked.numbers if 0 <= number < len(there)]
    return Samples(len(there), [part.shown(number, found.told.classes, how) for number in numbers])


def overview(asked: AskData, tell: Tell = lambda _: None) -> Overview:
    """Of the data as it lies on the disk now. Raises `UserError` where it can't be used."""
    _kept.clear()
    found, _ = _listed(asked.config, tell)
    told, remarks = found.told, list(found.remarks)
    if isinstance(found.train, TextPart):
        tell("reading how the model's tokens are made")
        if problem := found.train.reader().problem:
            remarks.append(f"Tokens are not counted. {problem}")
    return Overview(
        classes=told.classes,
        train_counts=told.train_counts,
        val_counts=told.val_counts,
        train=len(found.train),
        val=len(found.val),
        held_out=found.held_out,
        pixels=list(found.pixels),
        ends=found.ends,
        blocks=found.blocks,
        baseline=told.baseline,
        skipped=len(found.skipped),
        first_skipped=list(found.skipped[:_NAMED]),
        remarks=remarks,
    )


def scan(asked: AskScan) -> Scan:
    """Goes on for so many seconds where the last one left off."""
    _, search = _listed(asked.config)
    search.go_on(asked.seconds)
    return search.found()


_kept: dict[bytes, tuple[Preview, Search]] = {}
"""The one data set that was asked for last."""


def _listed(config: Config, tell: Tell = lambda _: None) -> tuple[Preview, Search]:
    key = _key(config)
    if key not in _kept:
        _kept.clear()
        found = TASKS[config.task].preview(msgspec.json.decode(key, type=Config), tell)
        _kept[key] = found, Search(found.train, found.val, ends=found.ends is not None)
    return _kept[key]


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
