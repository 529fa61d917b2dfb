"""Pictures of a training batch mixed with each other."""

import torch
from torch import Tensor
from torchvision.transforms import v2

from engine.contract.training_tables import RegularisationConfig
from engine.data.batch import Inputs
from engine.data.transforms import drawing_from


class Mixing:
    """mixup (Zhang et al. 2017, arXiv:1710.09412) and CutMix (Yun et al. 2019, arXiv:1905.04899).

    A picture is mixed with the one before it in the batch, which is shuffled, and all of a batch in
    the same way and by the same share, as in the papers' own code.
    """

    def __init__(self, asked: RegularisationConfig, classes: int) -> None:
        kinds = ((v2.MixUp, asked.mixup), (v2.CutMix, asked.cutmix))
        self._ways = [kind(alpha=alpha, num_classes=classes) for kind, alpha in kinds if alpha > 0]

    def __call__(self, images: Inputs, labels: Tensor, seed: int) -> tuple[Inputs, Tensor]:
        """Images (B, 3, H, W) and labels (B,) to mixed images and targets (B, classes), by one of
        the ways that are on, each equally likely; as they are where none is."""
        if not self._ways:
            return images, labels
        with drawing_from(seed):
            way = self._ways[int(torch.randint(len(self._ways), ()))]
            mixed, targets = way(images, labels)
        return mixed, targets
