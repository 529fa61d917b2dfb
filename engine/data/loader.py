"""Batches of samples: any epoch from any batch on, the same for any number of workers."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median
from time import perf_counter
from typing import NamedTuple, Protocol

import numpy as np

from engine.contract.config import Augment, DataConfig
from engine.contract.training_tables import Sampling
from engine.data import order, transforms
from engine.data.batch import Batch
from engine.data.transforms import Augmentation
from engine.data.workers import Feeding, ReadingPool, workers_for

_TRIED = 6
"""Batches of an epoch that are timed; the first ones take longer."""

_VIEWS = 1
"""Sets the seed of which views an epoch takes apart from that of its order."""


class Key(NamedTuple):
    """All that a batch depends on: what reads it needs to be told nothing else."""

    epoch: int
    draws: tuple[int, ...]
    """As `engine.data.order` has them."""
    augmentation: Augmentation
    once: bool = False
    """Whether these samples are not read again."""


class Samples(Protocol):
    """Key to batch: all that a reading process needs."""

    @property
    def labels(self) -> np.ndarray:
        """The class of each sample, for balanced sampling."""
        ...

    @property
    def augmented(self) -> bool:
        """Whether the augmentation of a key changes anything."""
        ...

    def __len__(self) -> int:
        """How many samples there are."""
        ...

    def __getitem__(self, key: Key) -> Batch: ...


class TrainLoader:
    """Shuffled, augmented batches.

    The order is a function of the seed and the epoch; torch's global generators are left alone. One
    sample left over at the end joins the batch before it, as BatchNorm can't train on one.
    """

    def __init__(
        self,
        samples: Samples,
        config: DataConfig,
        seed: int,
        feeding: Feeding,
        sampling: Sampling = "natural",
    ) -> None:
        self._samples = samples
        self._reader = _Reader(samples, feeding)
        self._count, self._size, self._seed = len(samples), config.batch_size, seed
        self._sampling = sampling
        self.set_augmentation(config.augment, config.augment_strength)

    def __len__(self) -> int:
        """Batches an epoch."""
        full, left = divmod(self._count, self._size)
        return full if left == 0 or (left == 1 and full > 0) else full + 1

    @property
    def samples(self) -> int:
        return self._count

    @property
    def varies(self) -> bool:
        """Whether a sample is another one in each epoch."""
        return self._samples.augmented and self._augmentation.name != "none"

    def epoch(self, number: int, skip_batches: int = 0) -> Iterator[Batch]:
        """The batches of epoch `number`, but for the first `skip_batches`, which aren't read."""
        return self._reader.read(self._keys(number)[skip_batches:])

    def numbers(self, number: int, skip_batches: int = 0, views: int = 1) -> Iterator[list[int]]:
        """The samples of each batch of `epoch`, which aren't read; of several views one is drawn
        for each, and view v of sample n is n + v * samples."""
        drawn = order.uniform(self._count, views, transforms.mix(self._seed, number, _VIEWS))
        for key in self._keys(number)[skip_batches:]:
            yield [n % self._count + self._count * drawn[n % self._count] for n in key.draws]

    def in_order(self, skip_batches: int = 0, view: int = 0) -> Iterator[Batch]:
        """A view of each sample by its number, for what is computed once: all batches are of one
        size, as kernels round by it, so that the last one begins again with the first samples."""
        size = min(self._size, self._count)
        starts = range(0, self._count, size)
        keys = [
            Key(
                view + 1,
                tuple(n % self._count for n in range(start, start + size)),
                self._augmentation,
                once=not self.varies,
            )
            for start in starts
        ]
        return self._reader.read(keys[skip_batches:])

    def _keys(self, number: int) -> list[Key]:
        seed = transforms.mix(self._seed, number)
        if self._sampling == "balanced":
            draws = order.balanced(self._samples.labels, seed)
        else:
            draws = order.shuffled(self._count, seed)
        ends = [*range(self._size, self._size * len(self), self._size), self._count]
        starts = range(0, self._count, self._size)
        return [
            Key(number, tuple(draws[start:end]), self._augmentation)
            for start, end in zip(starts, ends, strict=False)
        ]

    def set_augmentation(self, augment: Augment, strength: float) -> None:
        """From the next call of `epoch` on."""
        self._augmentation = Augmentation(augment, strength)

    def close(self) -> None:
        """End the processes that read."""
        self._reader.close()


class ValLoader:
    """Batches in the order of the samples, as the weights were trained to see them."""

    def __init__(self, samples: Samples, config: DataConfig, feeding: Feeding) -> None:
        self._reader = _Reader(samples, feeding)
        self._count, self._size = len(samples), config.batch_size

    def __len__(self) -> int:
        return -(-self._count // self._size)

    @property
    def samples(self) -> int:
        return self._count

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


class _Reader:
    """Reads batches here or in a pool, and names each broken file once."""

    def __init__(self, samples: Samples, feeding: Feeding) -> None:
        self._samples, self._feeding = samples, feeding
        self._pool: ReadingPool[Key, Batch] | None = None
        self._named: set[str] = set()
        self._start_pool(feeding.workers)

    def read(self, keys: Sequence[Key]) -> Iterator[Batch]:
        for batch in self._pool.read(keys) if self._pool else self._read_here(keys):
            news = [file for file in batch.skipped if file.path not in self._named]
            self._named.update(file.path for file in news)
            yield replace(batch, skipped=news)

    def close(self) -> None:
        if self._pool:
            self._pool.close()

    def _start_pool(self, workers: int) -> None:
        if workers:
            self._pool = ReadingPool(self._samples, replace(self._feeding, workers=workers))

    def _read_here(self, keys: Sequence[Key]) -> Iterator[Batch]:
        """Or in a pool from where it shows that training would wait for what is read here."""
        feeding = self._feeding
        reading, using = [], []
        for place, key in enumerate(keys):
            began = perf_counter()
            batch = self._samples[key]
            if feeding.pin_memory:
                batch = batch.pin_memory()
            given = perf_counter()
            yield batch
            if place >= _TRIED or not feeding.up_to:
                continue
            feeding.wait()
            reading.append(given - began)
            using.append(perf_counter() - given)
            if place + 1 == _TRIED:
                self._start_pool(workers_for(median(reading), median(using), feeding.up_to))
                if self._pool:
                    yield from self._pool.read(keys[_TRIED:])
                    return
