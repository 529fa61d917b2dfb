"""Pictures to one of several classes."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.contract.config import Config
from engine.tasks.task import Figures

_TOP5_FROM = 6
"""With five classes or fewer the label is always among five guesses."""


class ImageClassification:
    """Cross-entropy over logits of shape (B, classes), labels of shape (B,), int64."""

    def __init__(self, config: Config) -> None:
        self._smoothing = config.training.label_smoothing

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean over the batch, label smoothing included; a scalar in float32."""
        return F.cross_entropy(logits.float(), labels, label_smoothing=self._smoothing)

    def sums(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(3,): summed cross-entropy, and how many labels are the first and in the first five."""
        logits = logits.float()
        loss = F.cross_entropy(logits, labels, reduction="sum")
        guesses = logits.topk(min(5, logits.shape[1])).indices
        hits = (guesses == labels[:, None]).float()
        return torch.stack([loss, hits[:, 0].sum(), hits.sum()])

    def figures(self, sums: list[list[float]], images: int, classes: int) -> Figures:
        """What the sums of all batches come to."""
        loss, top1, top5 = (math.fsum(column) / images for column in zip(*sums, strict=True))
        return Figures(
            loss=loss if math.isfinite(loss) else None,
            top1=top1,
            top5=top5 if classes >= _TOP5_FROM else None,
            images=images,
        )
