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
from engine.data.transforms import Augmentation


class Pictures(ABC):
    """Inputs (B, 3, H, W), float32, normalised; labels (B,), int64."""

    augmented = True

    def __init__(self, labels: np.ndarray, pre: Preprocessing, seed: int) -> None:
        """`labels` are one for each picture, int64."""
        self.labels = labels
        self._pre, self._seed = pre, seed
        self._to_input = transforms.ToInput(pre)
        self._transforms: dict[Augmentation, transforms.Transform] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: Key) -> Batch:
        epoch, draws, augmentation = key
        side = self._pre.image_size
        images = np.empty((len(draws), 3, side, side), np.float32)
        numbers: list[int] = []
        skipped = []
        for draw in draws:
            image = self.seen(draw, augmentation, epoch)
            if isinstance(image, FileSkipped):
                skipped.append(image)
                continue
            self._to_input(image, images[len(numbers)])
            numbers.append(draw % len(self.labels))
        return Batch(
            torch.from_numpy(images[: len(numbers)]),
            torch.tensor(self.labels[numbers], dtype=torch.int64),
            skipped,
            numbers,
        )

    def seen(self, draw: int, augmentation: Augmentation, epoch: int) -> Image.Image | FileSkipped:
        """What the model is given for a draw of an epoch, before it becomes numbers."""
        image = self._read(draw % len(self.labels))
        if isinstance(image, FileSkipped):
            return image
        seed = transforms.mix(self._seed, epoch, draw)
        return transforms.augmented(self._transform(augmentation), image, seed)

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
