"""Pictures to one of several classes."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.tasks.mixing import Mixing
from engine.tasks.task import Figures

_TOP5_FROM = 6
"""With five classes or fewer the label is always among five guesses."""


class ImageClassification:
    """Cross-entropy over logits of shape (B, classes), labels of shape (B,), int64."""

    def __init__(self, config: Config, counts: Sequence[int]) -> None:
        """`counts` are the training pictures of each class, all above 0."""
        asked = config.regularisation
        self._smoothing = config.training.label_smoothing
        self._mixing = Mixing(asked, len(counts))
        self._weights: Tensor | None = None
        if asked.class_weights == "balanced":
            if asked.sampling == "balanced":
                raise UserError(
                    "regularisation: class_weights and sampling both balance the classes, and "
                    "together they would favour the rare ones; set one of them."
                )
            self._weights = balanced_weights(counts)

    def mix(self, images: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) and labels (B,), or where they are mixed targets (B, classes)."""
        return self._mixing(images, labels, seed)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean over the batch, label smoothing and class weights included; a scalar in float32.

        Targets are labels (B,), or probabilities (B, classes). Weighted losses are divided by the
        number of pictures, not by the sum of their weights, which are 1 on average: so a picture
        counts the same whichever others are in its batch.
        """
        if self._weights is not None:
            self._weights = self._weights.to(logits.device)
        loss = F.cross_entropy(
            logits.float(),
            targets,
            weight=self._weights,
            label_smoothing=self._smoothing,
            reduction="sum",
        )
        return loss / len(targets)

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


def balanced_weights(counts: Sequence[int]) -> Tensor:
    """(classes,): the inverse of each class's frequency, scaled to mean 1 over the pictures.

    King and Zeng 2001; scikit-learn's `class_weight="balanced"`.
    """
    counted = torch.tensor(counts, dtype=torch.float64)
    return (counted.sum() / (len(counts) * counted)).float()
