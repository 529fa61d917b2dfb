"""Pictures with a mask each, as batches."""

from collections.abc import Sequence

import numpy as np
import torch

from engine.contract.events import FileSkipped
from engine.contract.preprocessing import Preprocessing
from engine.contract.text import plain
from engine.data import joint, masks, picture, transforms
from engine.data.batch import Batch
from engine.data.loader import Key
from engine.data.mask_folder import MaskedPicture
from engine.data.masks import Coding
from engine.data.packed import PackedPaths
from engine.data.transforms import Augmentation


class MaskedPictures:
    """Inputs (B, 3, H, W), uint8; targets (B, H, W), int16: the class of each pixel,
    or `masks.IGNORED`."""

    augmented = True

    def __init__(
        self, pairs: Sequence[MaskedPicture], coding: Coding, pre: Preprocessing, seed: int
    ) -> None:
        self._images = PackedPaths(pair.image for pair in pairs)
        self._masks = PackedPaths(pair.mask for pair in pairs)
        self._coding, self._pre, self._seed = coding, pre, seed
        self._joints: dict[Augmentation, joint.Joint] = {}

    def __len__(self) -> int:
        return len(self._images)

    @property
    def labels(self) -> np.ndarray:
        """One class for all: a picture shows several, so that none can be drawn by its class."""
        return np.zeros(len(self), np.int64)

    def __getitem__(self, key: Key) -> Batch:
        epoch, draws, augmentation, _ = key
        side = self._pre.image_size
        images = np.empty((len(draws), 3, side, side), np.uint8)
        targets = np.empty((len(draws), side, side), np.int16)
        numbers: list[int] = []
        skipped = []
        for draw in draws:
            seen = self.seen(draw, augmentation, epoch)
            if isinstance(seen, FileSkipped):
                skipped.append(seen)
                continue
            image, mask = seen
            images[len(numbers)] = np.asarray(image).transpose(2, 0, 1)
            targets[len(numbers)] = np.asarray(mask)
            numbers.append(draw % len(self))
        done = len(numbers)
        return Batch(
            torch.from_numpy(images[:done]), torch.from_numpy(targets[:done]), skipped, numbers
        )

    def seen(self, draw: int, augmentation: Augmentation, epoch: int) -> joint.Pair | FileSkipped:
        """What the model is given for a draw of an epoch, and the class of each pixel."""
        read = self._read(draw % len(self))
        if isinstance(read, FileSkipped):
            return read
        with transforms.drawing_from(transforms.mix(self._seed, epoch, draw)):
            return self._joint(augmentation)(*read)

    def _read(self, position: int) -> joint.Pair | FileSkipped:
        """Whole, as a smaller picture would no longer lie on its mask's grid."""
        path = self._images[position]
        try:
            image = picture.read(path)
            path = self._masks[position]
            places = masks.decoded(path, self._coding)
            if places.size != image.size:
                raise picture.Unreadable("not of its picture's size any more")
        except picture.Unreadable as error:
            return FileSkipped(path=plain(path, limit=4096), reason=error.reason)
        return image, places

    def _joint(self, augmentation: Augmentation) -> joint.Joint:
        if augmentation not in self._joints:
            self._joints[augmentation] = joint.train_joint(self._pre, augmentation)
        return self._joints[augmentation]
