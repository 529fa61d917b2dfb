"""Batches of pictures: any epoch from any batch on, the same for any number of workers."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from engine.contract.config import Augment, DataConfig, Sampling
from engine.contract.events import FileSkipped
from engine.contract.preprocessing import Preprocessing
from engine.contract.text import plain
from engine.data import order, picture, transforms
from engine.data.samples import Sample
from engine.data.transforms import Augmentation
from engine.data.workers import ReadingPool


class Key(NamedTuple):
    """All that a batch depends on: what reads it needs to be told nothing else."""

    epoch: int
    draws: tuple[int, ...]
    """As `engine.data.order` has them."""
    augmentation: Augmentation


@dataclass
class Batch:
    """Pictures ready for the model.

    Broken ones are dropped, so that a batch may be smaller than asked for, down to none or one.
    """

    images: Tensor
    """(B, 3, H, W), float32, normalised."""
    labels: Tensor
    """(B,), int64."""
    skipped: list[FileSkipped]
    """The broken ones, each named the first time it is met."""

    def share_memory_(self) -> None:
        for tensor in (self.images, self.labels):
            tensor.share_memory_()  # type: ignore[no-untyped-call]

    def pin_memory(self) -> "Batch":
        return Batch(self.images.pin_memory(), self.labels.pin_memory(), self.skipped)


class TrainLoader:
    """Shuffled, augmented batches.

    The order is a function of the seed and the epoch, a picture's augmentation of the seed, the
    epoch, its position in `samples` and how often the epoch drew it before; torch's global
    generators are left alone. One picture left over at the end joins the batch before it, as
    BatchNorm can't train on one.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        config: DataConfig,
        pre: Preprocessing,
        seed: int,
        workers: int,
        *,
        sampling: Sampling = "natural",
        pin_memory: bool = False,
        close_fds: Sequence[int] = (),
    ) -> None:
        """`close_fds` are closed in the processes that read: they must not hold a run's lock."""
        self._batches = _Batches(samples, pre, seed)
        self._reader = _Reader(self._batches, workers, pin_memory, close_fds)
        self._count, self._size, self._seed = len(samples), config.batch_size, seed
        self._sampling = sampling
        self.set_augmentation(config.augment, config.augment_strength)

    def __len__(self) -> int:
        """Batches an epoch."""
        full, left = divmod(self._count, self._size)
        return full if left == 0 or (left == 1 and full > 0) else full + 1

    def epoch(self, number: int, skip_batches: int = 0) -> Iterator[Batch]:
        """The batches of epoch `number`, but for the first `skip_batches`, which aren't read."""
        seed = transforms.mix(self._seed, number)
        if self._sampling == "balanced":
            draws = order.balanced(self._batches.labels, seed)
        else:
            draws = order.shuffled(self._count, seed)
        ends = [*range(self._size, self._size * len(self), self._size), self._count]
        starts = range(0, self._count, self._size)
        keys = [
            Key(number, tuple(draws[start:end]), self._augmentation)
            for start, end in zip(starts, ends, strict=False)
        ]
        return self._reader.read(keys[skip_batches:])

    def set_augmentation(self, augment: Augment, strength: float) -> None:
        """From the next call of `epoch` on."""
        self._augmentation = Augmentation(augment, strength)

    def close(self) -> None:
        """End the processes that read."""
        self._reader.close()


class ValLoader:
    """Batches in the order of `samples`, as the weights were trained to see them."""

    def __init__(
        self,
        samples: Sequence[Sample],
        config: DataConfig,
        pre: Preprocessing,
        workers: int,
        *,
        pin_memory: bool = False,
        close_fds: Sequence[int] = (),
    ) -> None:
        """`close_fds` are closed in the processes that read: they must not hold a run's lock."""
        batches = _Batches(samples, pre, seed=0)
        self._reader = _Reader(batches, workers, pin_memory, close_fds)
        self._count, self._size = len(samples), config.batch_size

    def __len__(self) -> int:
        return -(-self._count // self._size)

    def __iter__(self) -> Iterator[Batch]:
        starts = range(0, self._count, self._size)
        ends = (min(start + self._size, self._count) for start in starts)
        keys = [
            Key(0, tuple(range(start, end)), Augmentation())
            for start, end in zip(starts, ends, strict=True)
        ]
        return self._reader.read(keys)

    def close(self) -> None:
        """End the processes that read."""
        self._reader.close()


class _Batches(Dataset[Batch]):
    """Key to batch: all that a reading process needs."""

    def __init__(self, samples: Sequence[Sample], pre: Preprocessing, seed: int) -> None:
        # Flat arrays: forked readers would copy a list of objects, page by page, as they touch it.
        paths = [str(sample.path).encode(errors="surrogateescape") for sample in samples]
        self._paths = b"".join(paths)
        self._ends = np.cumsum([0, *map(len, paths)])
        self.labels = np.array([sample.label for sample in samples])
        self._pre, self._seed = pre, seed
        self._to_input = transforms.ToInput(pre)
        self._transforms: dict[Augmentation, transforms.Transform] = {}

    def __getitem__(self, key: Key) -> Batch:
        epoch, draws, augmentation = key
        transform = self._transform(augmentation)
        side = self._pre.image_size
        images = np.empty((len(draws), 3, side, side), np.float32)
        labels: list[int] = []
        skipped = []
        for draw in draws:
            position = draw % len(self.labels)
            path = self._path(position)
            try:
                image = picture.read(path, at_least=2 * self._pre.resize_size)
            except picture.Unreadable as error:
                skipped.append(FileSkipped(path=plain(path, limit=4096), reason=error.reason))
                continue
            seed = transforms.mix(self._seed, epoch, draw)
            image = transforms.augmented(transform, image, seed)
            self._to_input(image, images[len(labels)])
            labels.append(int(self.labels[position]))
        return Batch(
            torch.from_numpy(images[: len(labels)]),
            torch.tensor(labels, dtype=torch.int64),
            skipped,
        )

    def _transform(self, augmentation: Augmentation) -> transforms.Transform:
        if augmentation not in self._transforms:
            self._transforms[augmentation] = transforms.train_transform(self._pre, augmentation)
        return self._transforms[augmentation]

    def _path(self, position: int) -> Path:
        start, end = self._ends[position : position + 2]
        return Path(self._paths[start:end].decode(errors="surrogateescape"))


class _Reader:
    """Reads batches here or in a pool, and names each broken picture once."""

    def __init__(
        self, batches: _Batches, workers: int, pin_memory: bool, close_fds: Sequence[int]
    ) -> None:
        self._batches = batches
        self._pin_memory = pin_memory
        self._pool: ReadingPool[Key, Batch] | None = None
        if workers:
            self._pool = ReadingPool(batches, workers, pin_memory, close_fds)
        self._named: set[str] = set()

    def read(self, keys: Iterable[Key]) -> Iterator[Batch]:
        for batch in self._pool.read(keys) if self._pool else self._read_here(keys):
            news = [file for file in batch.skipped if file.path not in self._named]
            self._named.update(file.path for file in news)
            yield replace(batch, skipped=news)

    def close(self) -> None:
        if self._pool:
            self._pool.close()

    def _read_here(self, keys: Iterable[Key]) -> Iterator[Batch]:
        for key in keys:
            batch = self._batches[key]
            yield batch.pin_memory() if self._pin_memory else batch
