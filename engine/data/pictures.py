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
from engine.data.loader import Key
from engine.data.packed import PackedPaths
from engine.data.samples import Sample
from engine.data.transforms import Augmentation, Pixels


class Pictures(ABC):
    """Inputs (B, 3, H, W), uint8; labels (B,), int64."""

    augmented = True

    def __init__(self, labels: np.ndarray, pre: Preprocessing, seed: int) -> None:
        """`labels` are one for each picture, int64."""
        self.labels = labels
        self._pre, self._seed = pre, seed
        self._transforms: dict[Augmentation, transforms.Transform] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: Key) -> Batch:
        epoch, draws, augmentation = key
        side = self._pre.image_size
        images = np.empty((len(draws), 3, side, side), np.uint8)
        numbers: list[int] = []
        skipped = []
        for draw in draws:
            pixels = self.seen(draw, augmentation, epoch)
            if isinstance(pixels, FileSkipped):
                skipped.append(pixels)
                continue
            images[len(numbers)] = pixels.transpose(2, 0, 1)
            numbers.append(draw % len(self.labels))
        return Batch(
            torch.from_numpy(images[: len(numbers)]),
            torch.tensor(self.labels[numbers], dtype=torch.int64),
            skipped,
            numbers,
        )

    def seen(self, draw: int, augmentation: Augmentation, epoch: int) -> Pixels | FileSkipped:
        """What the model is given for a draw of an epoch, before it is normalised."""
        image = self._read(draw % len(self.labels))
        if isinstance(image, FileSkipped):
            return image
        seed = transforms.mix(self._seed, epoch, draw)
        return transforms.augmented(self._transform(augmentation), np.array(image), seed)

    def _transform(self, augmentation: Augmentation) -> transforms.Transform:
        if augmentation not in self._transforms:
            self._transforms[augmentation] = transforms.train_transform(self._pre, augmentation)
        return self._transforms[augmentation]

    @abstractmethod
    def _read(self, position: int) -> Image.Image | FileSkipped:
        """The picture at a position, in mode RGB."""


class LabelledPictures(Pictures):
    """Of files."""

    def __init__(self, samples: Sequence[Sample], pre: Preprocessing, seed: int) -> None:
        super().__init__(np.array([sample.label for sample in samples]), pre, seed)
        self._paths = PackedPaths(sample.path for sample in samples)

    def _read(self, position: int) -> Image.Image | FileSkipped:
        path = self._paths[position]
        try:
            return picture.read(path, at_least=2 * self._pre.resize_size)
        except picture.Unreadable as error:
            return FileSkipped(path=plain(path, limit=4096), reason=error.reason)
