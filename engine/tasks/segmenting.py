"""The class of each pixel: what is minimised, and what is measured."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.data.batch import Inputs
from engine.data.masks import IGNORED
from engine.tasks.classifying import balanced_weights
from engine.tasks.measured import Measured, Outcome, Verdict, finite, from_cells
from engine.tasks.task import Figures

AUXILIARY_WEIGHT = 0.5
"""Of the auxiliary classifier's loss, as in torchvision's reference training."""

Outputs = dict[str, Tensor]
"""Logits (B, classes, H, W): "out", and of a model with an auxiliary classifier "aux"."""


class Segmenting:
    """Targets of shape (B, H, W), integers: classes, or `IGNORED`."""

    score = "mean IoU"

    def __init__(self, config: Config, pixels: Sequence[int]) -> None:
        """`pixels` are those of each class in the training masks.

        Raises `UserError` on settings that are for pictures of one class.
        """
        asked = config.regularisation
        for setting, off in (("mixup", 0.0), ("cutmix", 0.0), ("sampling", "natural")):
            if getattr(asked, setting) != off:
                raise UserError(
                    f"regularisation.{setting}: is for pictures of one class each, and a mask has "
                    f"many; leave it at {off}."
                )
        self._smoothing = config.training.label_smoothing
        self._dice = config.segmentation.loss == "cross-entropy+dice"
        self._classes = len(pixels)
        self._weights = balanced_weights(pixels) if asked.class_weights == "balanced" else None

    def outputs(self, module: nn.Module, inputs: Inputs) -> Outputs:
        found: Outputs = module(inputs)
        return found

    def mix(self, inputs: Inputs, targets: Tensor, seed: int) -> tuple[Inputs, Tensor]:
        return inputs, targets

    def loss(self, outputs: Outputs, targets: Tensor) -> Tensor:
        """Mean over pictures of `_loss_each`, the auxiliary one's half added; in float32."""
        loss = self._loss_each(outputs["out"], targets)
        if "aux" in outputs:
            loss = loss + AUXILIARY_WEIGHT * self._loss_each(outputs["aux"], targets)
        return loss.mean()

    def measure(self, outputs: Outputs, targets: Tensor) -> Measured:
        """Sums (1 + classes²,): cross-entropy of the pictures, and the confusion matrix, a row a
        true class, in pixels. Rows (B, 2): cross-entropy and mean IoU of each picture, NaN where
        no pixel counts. And the masks."""
        logits, targets = outputs["out"].float(), targets.long()
        losses = picture_mean(_cross_entropy(logits, targets), targets)
        said = logits.argmax(1)
        matrices = confusion(said, targets, self._classes)
        # MPS has no float64; what it counts of a batch is exact up to 2^24
        dtype = torch.float32 if logits.device.type == "mps" else torch.float64
        matrix = matrices.sum(0).flatten().to(dtype)
        return Measured(
            torch.cat([losses.sum().to(dtype)[None], matrix]),
            torch.stack([losses, mean_iou(matrices)], 1),
            torch.stack([targets, said], 1).short(),
        )

    def outcome(self, sums: Sequence[float], rows: Tensor) -> Outcome:
        """In pixels."""
        matrix = np.array(sums[1:]).astype(np.int64)
        places = matrix.nonzero()[0]
        return from_cells(places, matrix[places], self._classes)

    def verdicts(self, rows: Tensor) -> Iterator[Verdict]:
        for _, iou in rows.tolist():
            yield Verdict(score=finite(iou))

    def figures(self, sums: Sequence[float], rows: Tensor) -> Figures:
        """Of classes that are in no mask and never said, there is no IoU, nor do they count."""
        loss, c = sums[0] / len(rows), self._classes
        matrix = [sums[1 + c * row : 1 + c * (row + 1)] for row in range(c)]
        true = [math.fsum(row) for row in matrix]
        said = [math.fsum(column) for column in zip(*matrix, strict=True)]
        right = [matrix[k][k] for k in range(c)]
        iou = [_share(hit, t + s - hit) for hit, t, s in zip(right, true, said, strict=True)]
        dice = [_share(2 * hit, t + s) for hit, t, s in zip(right, true, said, strict=True)]
        found = {
            "miou": _mean(iou),
            "miou_foreground": _mean(iou[1:]),
            "dice": _mean(dice),
            "pixel_accuracy": _share(math.fsum(right), math.fsum(true)),
        }
        return Figures(
            finite(loss),
            {key: value for key, value in found.items() if value is not None},
            len(rows),
            iou,
        )

    def _loss_each(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(B,): of each picture the mean cross-entropy of its pixels, label smoothing and class
        weights included, and the Dice loss where it is asked for.

        Weights, which are 1 on average over all pixels, are not divided by their sum: so a picture
        counts the same whichever others are in its batch.
        """
        logits, targets = logits.float(), targets.long()
        if self._weights is not None:
            self._weights = self._weights.to(logits.device)
        pixels = _cross_entropy(logits, targets, self._weights, self._smoothing)
        loss = picture_mean(pixels, targets)
        return loss + dice_loss(logits, targets) if self._dice else loss


def confusion(said: Tensor, targets: Tensor, classes: int) -> Tensor:
    """(B, H, W) both to (B, classes, classes): pixels of each picture, a row a true class."""
    counted = targets != IGNORED
    pictures = torch.arange(len(targets), device=targets.device)[:, None, None]
    cells = ((pictures * classes + targets) * classes + said)[counted]
    found = torch.bincount(cells, minlength=len(targets) * classes**2)
    return found.view(len(targets), classes, classes)


def mean_iou(matrices: Tensor) -> Tensor:
    """(B, classes, classes) to (B,), float32: over the classes that are there or said."""
    hits = matrices.diagonal(dim1=1, dim2=2).float()
    union = matrices.sum(1) + matrices.sum(2) - hits
    return (hits / union).nanmean(1)


def picture_mean(values: Tensor, targets: Tensor) -> Tensor:
    """(B, H, W) to (B,): means over the pixels that count; 0 where none does."""
    counted = (targets != IGNORED).sum((1, 2)).clamp(min=1)
    return values.sum((1, 2)) / counted


def dice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """(B,): 1 minus the mean soft Dice coefficient of the classes that a picture shows.

    Milletari et al. 2016 (V-Net, arXiv:1606.04797), the denominator without squares. Pixels that
    don't count are left out; a picture without any other has 0.
    """
    counted = (targets != IGNORED)[:, None]
    truth = F.one_hot(targets.clamp(min=0), logits.shape[1]).movedim(-1, 1) * counted
    said = logits.softmax(1) * counted
    areas = truth.sum((2, 3))
    shown = areas > 0
    dice = 2 * (said * truth).sum((2, 3)) / (said.sum((2, 3)) + areas).clamp(min=1e-6)
    return ((1 - dice) * shown).sum(1) / shown.sum(1).clamp(min=1)


def _cross_entropy(
    logits: Tensor, targets: Tensor, weights: Tensor | None = None, smoothing: float = 0.0
) -> Tensor:
    """(B, H, W), 0 at pixels that don't count."""
    return F.cross_entropy(
        logits,
        targets,
        weight=weights,
        ignore_index=IGNORED,
        reduction="none",
        label_smoothing=smoothing,
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
