"""Pictures with a label each, as batches."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from engine.contract.events import FileSkipped
from engine.contract.preprocessing import Preprocessing
from engine.contract.text import plain
from engine.data import picture, transforms
from engine.data.batch import Batch
from engine.data.kept import Kept
from engine.data.loader import Key
from engine.data.packed import PackedPaths
from engine.data.samples import Sample
from engine.data.transforms import Augmentation, Pixels


class Pictures(ABC):
    """Inputs (B, 3, H, W), uint8; labels (B,), int64."""

    augmented = True

    def __init__(self, labels: np.ndarray, pre: Preprocessing, seed: int, keep: int = 0) -> None:
        """`labels` are one for each picture, int64; `keep` is how many bytes of pictures may stay
        in memory: of those that are the same each time as they go into a batch, of others as they
        are decoded. It changes no batch."""
        self.labels = labels
        self._pre, self._seed = pre, seed
        self._kept = Kept(2 * len(labels), keep)  # decoded, and behind them as they go into a batch
        self._transforms: dict[Augmentation, transforms.Transform] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: Key) -> Batch:
        side = self._pre.image_size
        images = np.empty((len(key.draws), 3, side, side), np.uint8)
        numbers: list[int] = []
        skipped = []
        for draw in key.draws:
            row = self._row(draw, key)
            if isinstance(row, FileSkipped):
                skipped.append(row)
                continue
            images[len(numbers)] = row
            numbers.append(draw % len(self.labels))
        return Batch(
            torch.from_numpy(images[: len(numbers)]),
            torch.tensor(self.labels[numbers], dtype=torch.int64),
            skipped,
            numbers,
        )

    def seen(
        self, draw: int, augmentation: Augmentation, epoch: int, keep: bool = False
    ) -> Pixels | FileSkipped:
        """What the model is given for a draw of an epoch, before it is normalised.

        `keep` is whether it is worth keeping as it is decoded.
        """
        decoded = self._decoded(draw % len(self), keep)
        if isinstance(decoded, FileSkipped):
            return decoded
        seed = transforms.mix(self._seed, epoch, draw)
        return transforms.augmented(self._transform(augmentation), decoded, seed)

    def _row(self, draw: int, key: Key) -> Pixels | FileSkipped:
        """As `seen`, (3, H, W)."""
        fixed, number = key.augmentation.name == "none", len(self) + draw % len(self)
        if fixed and (kept := self._kept.get(number)) is not None:
            return kept
        seen = self.seen(draw, key.augmentation, key.epoch, keep=not (fixed or key.once))
        if isinstance(seen, FileSkipped):
            return seen
        row = seen.transpose(2, 0, 1)
        if fixed and not key.once:
            self._kept.put(number, row)
        return row

    def _decoded(self, position: int, keep: bool) -> Pixels | FileSkipped:
        if (kept := self._kept.get(position)) is not None:
            return kept
        image = self._read(position)
        if isinstance(image, FileSkipped):
            return image
        pixels = np.array(image)
        if keep:
            self._kept.put(position, pixels)
        return pixels

    def _transform(self, augmentation: Augmentation) -> transforms.Transform:
        if augmentation not in self._transforms:
            self._transforms[augmentation] = transforms.train_transform(self._pre, augmentation)
        return self._transforms[augmentation]

    @abstractmethod
    def _read(self, position: int) -> Image.Image | FileSkipped:
        """The picture at a position, in mode RGB."""


class LabelledPictures(Pictures):
    """Of files."""

    def __init__(
        self, samples: Sequence[Sample], pre: Preprocessing, seed: int, keep: int = 0
    ) -> None:
        super().__init__(np.array([sample.label for sample in samples]), pre, seed, keep)
        self._paths = PackedPaths(sample.path for sample in samples)

    def _read(self, position: int) -> Image.Image | FileSkipped:
        path = self._paths[position]
        try:
            return picture.read(path, at_least=2 * self._pre.resize_size)
        except picture.Unreadable as error:
            return FileSkipped(path=plain(path, limit=4096), reason=error.reason)
