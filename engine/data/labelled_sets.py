"""Pictures with several labels each: a list becomes an index, an index becomes batches."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from engine.contract.baseline import Baseline
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.events import DataIndexed, FileSkipped
from engine.contract.preprocessing import Preprocessing
from engine.contract.text import plain
from engine.data import lists
from engine.data.batch import Batch
from engine.data.loader import Key
from engine.data.pictures import LabelledPictures
from engine.data.samples import Sample, counts_of, digest_of

_SEPARATORS = "|;"


@dataclass(frozen=True, slots=True)
class SetSample:
    """A picture and its labels, as positions in `SetIndex.classes`; it may have none."""

    path: Path
    labels: tuple[int, ...]


@dataclass(frozen=True)
class SetIndex:
    """As `engine.data.samples.DataIndex`, of pictures with several labels."""

    classes: list[str]
    train: list[SetSample]
    val: list[SetSample]
    skipped: list[FileSkipped]
    held_out: bool = False

    def name_of(self, number: int) -> str:
        return plain(self.val[number].path, 4096)

    @property
    def digest(self) -> str:
        return digest_of(f"{sample.labels}/{sample.path}" for sample in self.train)

    def told(self) -> DataIndexed:
        """Its baseline is what a score that is the same for all pictures comes to: the average
        precision of a class is then its share of them."""
        counts = self.counts(self.val)
        shares = [count / len(self.val) for count in counts if count]
        baseline = Baseline("map", sum(shares) / len(shares), "the same scores for all pictures")
        return DataIndexed(
            classes=self.classes,
            train_counts=self.counts(self.train),
            val_counts=counts,
            baseline=baseline if shares else None,
        )

    def counts(self, samples: Sequence[SetSample]) -> list[int]:
        """How many of `samples` have each label."""
        labels = (label for sample in samples for label in sample.labels)
        return counts_of(labels, len(self.classes))


def index_sets(config: Config, tell: Callable[[str], None]) -> SetIndex:
    """The pictures of a list with their labels. Raises `UserError` where it can't be used."""
    if not lists.is_list(config.data.path):
        raise UserError(
            "data.path: several labels a picture are read from a .csv, .tsv or .jsonl file with "
            f'the columns "{plain(config.images.file_column)}" and '
            f'"{plain(config.images.label_column)}".'
        )
    listed, skipped = lists.usable(config, tell)
    labels = _split_labels(listed)
    names = sorted({name for some in labels.values() for name in some})
    if not names:
        raise UserError(f"data.path: no picture of {plain(config.data.path)} has a label.")
    train, val = lists.divided(config, listed, by=lambda line: "")
    untrained = set(names) - {name for line in train for name in labels[line.path]}
    if untrained:
        raise UserError(
            f'data.path: label "{plain(min(untrained))}" is on no training picture of '
            f"{plain(config.data.path)}; a label that occurs once can't be learned, remove it."
        )
    number = {name: position for position, name in enumerate(names)}
    trained, held_out = (
        [SetSample(x.path, tuple(sorted(number[name] for name in labels[x.path]))) for x in some]
        for some in (train, val)
    )
    return SetIndex(
        [plain(name) for name in names], trained, held_out, skipped, not lists.says(listed)
    )


def _split_labels(listed: Sequence[lists.Listed]) -> dict[Path, set[str]]:
    """Of each picture. Texts are split at | or ; or commas or, where there is none, at spaces."""
    texts = [line.labels for line in listed if isinstance(line.labels, str)]
    separated = any(mark in text for text in texts for mark in _SEPARATORS)
    pattern = rf"[{_SEPARATORS}]" if separated else r"[,\s]"
    found: dict[Path, set[str]] = {}
    for line in listed:
        parts = line.labels if isinstance(line.labels, list) else _parts(line.labels, pattern)
        names = {part.strip() for part in parts} - {""}
        found.setdefault(line.path, set()).update(names)
    return found


def _parts(text: str, pattern: str) -> list[str]:
    if text.startswith("["):  # a JSON list in a column of a table
        try:
            return [str(label) for label in json.loads(text)]
        except (ValueError, TypeError):
            pass
    return re.split(pattern, text)


class PicturesWithSets:
    """Inputs (B, 3, H, W), uint8; targets (B, classes), 0 or 1, float32."""

    def __init__(
        self,
        samples: Sequence[SetSample],
        classes: int,
        pre: Preprocessing,
        seed: int,
        keep: int = 0,
    ) -> None:
        numbered = [Sample(sample.path, number) for number, sample in enumerate(samples)]
        self.pictures = LabelledPictures(numbered, pre, seed, keep)
        self._targets = torch.zeros(len(samples), classes)
        for number, sample in enumerate(samples):
            self._targets[number, list(sample.labels)] = 1
        self.labels = self.pictures.labels

    def __len__(self) -> int:
        return len(self._targets)

    @property
    def augmented(self) -> bool:
        return self.pictures.augmented

    def __getitem__(self, key: Key) -> Batch:
        batch = self.pictures[key]
        return replace(batch, targets=self._targets[batch.targets])
