"""What a data set kind hands to the loaders: labelled files, listed and split."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from engine.contract.events import Baseline, DataIndexed, FileSkipped


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture and its class, as a position in `DataIndex.classes`."""

    path: Path
    label: int


@dataclass(frozen=True)
class DataIndex:
    """A data set: the same folder and the same config give the same lists, in the same order."""

    classes: list[str]
    """By name; safe to show."""
    train: list[Sample]
    val: list[Sample]
    skipped: list[FileSkipped]
    """Files that look like pictures and can't be used."""

    @property
    def digest(self) -> str:
        """Of the training pictures in their order: an epoch can go on where it is the same."""
        digest = hashlib.blake2b(digest_size=16)
        for sample in self.train:
            digest.update(f"{sample.label}/{sample.path}\0".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def told(self) -> DataIndexed:
        train, val = self.counts(self.train), self.counts(self.val)
        commonest = train.index(max(train))
        return DataIndexed(
            classes=self.classes,
            train_counts=train,
            val_counts=val,
            baseline=Baseline(
                "top1", val[commonest] / sum(val), f"always saying '{self.classes[commonest]}'"
            ),
        )

    def counts(self, samples: list[Sample]) -> list[int]:
        """How many of `samples` are in each class."""
        found = Counter(sample.label for sample in samples)
        return [found[label] for label in range(len(self.classes))]
