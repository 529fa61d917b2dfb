"""One of several classes for each sample: what is minimised, and what is measured."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.data.batch import Inputs
from engine.tasks.measured import Measured, Outcome, Verdict, finite, one_of
from engine.tasks.mixing import Mixing
from engine.tasks.task import Figures

_TOP5_FROM = 6
"""With five classes or fewer the label is always among five guesses."""


class Classifying:
    """Cross-entropy over logits of shape (B, classes), labels of shape (B,), int64."""

    score = "probability"

    def __init__(self, config: Config, counts: Sequence[int]) -> None:
        """`counts` are the training samples of each class, all above 0.

        Raises `UserError` where settings contradict each other.
        """
        asked = config.regularisation
        self._smoothing = config.training.label_smoothing
        self._classes = len(counts)
        self._mixing = Mixing(asked, self._classes)
        self._weights: Tensor | None = None
        if asked.class_weights == "balanced":
            if asked.sampling == "balanced":
                raise UserError(
                    "regularisation: class_weights and sampling both balance the classes, and "
                    "together they would favour the rare ones; set one of them."
                )
            self._weights = balanced_weights(counts)

    def outputs(self, module: nn.Module, inputs: Inputs) -> Tensor:
        """Logits (B, classes)."""
        logits: Tensor = module(inputs)
        return logits

    def mix(self, inputs: Inputs, targets: Tensor, seed: int) -> tuple[Inputs, Tensor]:
        """Images (B, 3, H, W) and labels (B,), or where they are mixed targets (B, classes)."""
        return self._mixing(inputs, targets, seed)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean over the batch, label smoothing and class weights included; a scalar in float32.

        Targets are labels (B,), or probabilities (B, classes). Weighted losses are divided by the
        number of samples, not by the sum of their weights, which are 1 on average: so a sample
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

    def measure(self, logits: Tensor, labels: Tensor) -> Measured:
        """Sums (3,): cross-entropy, and how many labels are the first and in the first five. Rows
        (B, 4): cross-entropy, label, first guess and its probability, in float32."""
        logits = logits.float()
        losses = F.cross_entropy(logits, labels, reduction="none")
        guesses = logits.topk(min(5, logits.shape[1])).indices
        hits = (guesses == labels[:, None]).float()
        probabilities = (logits.amax(1) - logits.logsumexp(1)).exp()
        rows = torch.stack([losses, labels.float(), guesses[:, 0].float(), probabilities], 1)
        return Measured(torch.stack([losses.sum(), hits[:, 0].sum(), hits.sum()]), rows)

    def figures(self, sums: Sequence[float], rows: Tensor) -> Figures:
        """What the sums of all batches come to."""
        loss, top1, top5 = (total / len(rows) for total in sums)
        found = {"top1": top1} | ({"top5": top5} if self._classes >= _TOP5_FROM else {})
        return Figures(finite(loss), found, len(rows))

    def outcome(self, sums: Sequence[float], rows: Tensor) -> Outcome:
        labels, said = rows[:, 1:3].long().numpy().T
        return one_of(labels, said, self._classes)

    def verdicts(self, rows: Tensor) -> Iterator[Verdict]:
        for _, label, said, probability in rows.tolist():
            yield Verdict((int(label),), (int(said),), finite(probability))


def balanced_weights(counts: Sequence[int]) -> Tensor:
    """(classes,): the inverse of each class's frequency, scaled to mean 1 over the samples.

    Classes without any are left out of the balance, at weight 1. King and Zeng 2001; scikit-learn's
    `class_weight="balanced"`.
    """
    counted = torch.tensor(counts, dtype=torch.float64)
    there = counted > 0
    weights = counted.sum() / (there.sum() * counted.clamp(min=1))
    return torch.where(there, weights, 1.0).float()
