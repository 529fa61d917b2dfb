"""What a data set kind hands to the loaders: labelled files, listed and split."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.contract.baseline import Baseline
from engine.contract.events import DataIndexed, FileSkipped
from engine.contract.text import plain


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
    held_out: bool = False
    """Whether `val` was held out of one list, for want of a validation part."""

    def name_of(self, number: int) -> str:
        return plain(self.val[number].path, 4096)

    @property
    def digest(self) -> str:
        """Of the training pictures in their order: an epoch can go on where it is the same."""
        return digest_of(f"{sample.label}/{sample.path}" for sample in self.train)

    def told(self) -> DataIndexed:
        return indexed(self.classes, self.counts(self.train), self.counts(self.val), "top1")

    def counts(self, samples: list[Sample]) -> list[int]:
        """How many of `samples` are in each class."""
        return counts_of((sample.label for sample in samples), len(self.classes))


def digest_of(lines: Iterable[str]) -> str:
    """Of what says which samples there are, in their order."""
    digest = hashlib.blake2b(digest_size=16)
    for line in lines:
        digest.update(f"{line}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def counts_of(labels: Iterable[int], classes: int) -> list[int]:
    """How often each class, a number below `classes`, is among `labels`."""
    found = Counter(labels)
    return [found[label] for label in range(classes)]


def indexed(classes: list[str], train: list[int], val: list[int], figure: str) -> DataIndexed:
    """What a journal says of so many samples of each class; always saying the commonest one of the
    training samples is the baseline, by a figure that is a share of samples."""
    commonest = train.index(max(train))
    how = f"always saying '{classes[commonest]}'"
    return DataIndexed(classes, train, val, Baseline(figure, val[commonest] / sum(val), how))
