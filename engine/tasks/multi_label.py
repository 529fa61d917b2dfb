"""Pictures to any number of classes each."""

import math
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.predictions import Counts
from engine.data import Feeding, TrainLoader, ValLoader
from engine.data.batch import Inputs
from engine.data.labelled_sets import PicturesWithSets, SetIndex, SetSample, index_sets
from engine.data.pictures import LabelledPictures
from engine.data.preview import PicturePart, Preview
from engine.data.samples import Sample
from engine.models.source import LoadedModel, Tell
from engine.tasks import seen
from engine.tasks.measured import Measured, Outcome, Verdict, finite
from engine.tasks.mixing import Mixing
from engine.tasks.task import Blank, Figures


class MultiLabelClassification:
    """A list of pictures and their labels, a network that gives a logit a class."""

    def index(self, config: Config, tell: Tell) -> SetIndex:
        return index_sets(config, tell)

    def data(
        self, config: Config, index: SetIndex, model: LoadedModel, feeding: Feeding
    ) -> tuple[TrainLoader, ValLoader]:
        pre, seed = model.preprocessing(config), config.training.seed
        train, val = (
            PicturesWithSets(part, len(index.classes), pre, seed, feeding.keep)
            for part in (index.train, index.val)
        )
        return TrainLoader(train, config.data, seed, feeding), ValLoader(val, config.data, feeding)

    def preview(self, config: Config, tell: Tell) -> Preview:
        index = self.index(config, tell)
        classes = len(index.classes)

        def part(samples: list[SetSample]) -> PicturePart:
            listed = [Sample(sample.path, 0) for sample in samples]
            return PicturePart(
                seen.pictures(config, classes, partial(LabelledPictures, listed)),
                [sample.labels for sample in samples],
                *seen.files(config, [sample.path for sample in samples]),
            )

        return Preview(
            index.told(), part(index.train), part(index.val), index.skipped, index.held_out
        )

    def objective(self, config: Config, index: SetIndex) -> "MultiLabel":
        return MultiLabel(config, len(index.classes))

    def blank(self, config: Config, model: LoadedModel, classes: int) -> Blank:
        side = model.preprocessing(config).image_size

        def batch(size: int) -> tuple[Tensor, Tensor]:
            return torch.empty(size, 3, side, side), torch.zeros(size, classes)

        return Blank(MultiLabel(config, classes), batch)


class MultiLabel:
    """Binary cross-entropy over logits (B, classes) and targets (B, classes), from 0 to 1."""

    score = ""

    def __init__(self, config: Config, classes: int) -> None:
        """Raises `UserError` where settings are for one label a picture."""
        asked = config.regularisation
        if asked.class_weights != "none":
            _refuse("class_weights", "none")
        if asked.sampling != "natural":
            _refuse("sampling", "natural")
        self._smoothing = config.training.label_smoothing
        self._classes = classes
        self._mixing = Mixing(asked, classes)

    def outputs(self, module: nn.Module, inputs: Inputs) -> Tensor:
        """Logits (B, classes)."""
        logits: Tensor = module(inputs)
        return logits

    def mix(self, inputs: Inputs, targets: Tensor, seed: int) -> tuple[Inputs, Tensor]:
        return self._mixing(inputs, targets, seed)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean over pictures of the mean over classes; smoothing draws targets towards a half."""
        targets = targets * (1 - self._smoothing) + self._smoothing / 2
        return F.binary_cross_entropy_with_logits(logits.float(), targets)

    def measure(self, logits: Tensor, targets: Tensor) -> Measured:
        """Rows (B, 1 + 2 classes): of each picture its loss, logits and targets, as a ranking over
        all pictures is not a sum; no sums."""
        logits = logits.float()
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        rows = torch.cat([loss.mean(1, keepdim=True), logits, targets], dim=1)
        return Measured(rows.new_zeros(0), rows)

    def figures(self, sums: Sequence[float], rows: Tensor) -> Figures:
        """What the rows of all pictures come to."""
        loss = float(rows[:, 0].double().mean())
        logits, (said, targets) = rows[:, 1 : 1 + self._classes].double(), self._sets(rows)
        found = {
            "map": mean_average_precision(logits, targets),
            "macro_f1": macro_f1(said, targets),
            "exact": float((said == targets).all(1).double().mean()),
        }
        known = {key: value for key, value in found.items() if math.isfinite(value)}
        return Figures(finite(loss), known, len(rows))

    def outcome(self, sums: Sequence[float], rows: Tensor) -> Outcome:
        """Without a confusion matrix: of several labels and several guesses none is for the
        other."""
        said, targets = self._sets(rows)
        columns = (said & targets, said, targets)
        counts = zip(*(column.sum(0).tolist() for column in columns), strict=True)
        return Outcome([Counts(*each) for each in counts], [])

    def verdicts(self, rows: Tensor) -> Iterator[Verdict]:
        for said, targets in zip(*self._sets(rows), strict=True):
            yield Verdict(targets.nonzero()[:, 0].tolist(), said.nonzero()[:, 0].tolist())

    def _sets(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """What is said and what is there, (N, classes) both."""
        return rows[:, 1 : 1 + self._classes] > 0, rows[:, 1 + self._classes :] > 0.5


def mean_average_precision(scores: Tensor, targets: Tensor) -> float:
    """Mean over the classes that occur of sum (R_n - R_n-1) P_n over the distinct scores, highest
    first, as scikit-learn's `average_precision_score`; (N, classes) both. NaN where none occurs."""
    values = []
    for score, target in zip(scores.T, targets.T, strict=True):
        if target.any():
            order = score.argsort(descending=True)
            ranked, hits = score[order], target[order].cumsum(0).double()
            last = torch.ones_like(target)  # of equal scores
            last[:-1] = ranked[1:] != ranked[:-1]
            precision = (hits / torch.arange(1, len(hits) + 1))[last]
            recall = hits[last] / hits[-1]
            values.append(float((recall.diff(prepend=torch.zeros(1)) * precision).sum()))
    return math.fsum(values) / len(values) if values else math.nan


def macro_f1(said: Tensor, targets: Tensor) -> float:
    """Mean of each class's F1, (N, classes) both, over those that are said or there."""
    right = (said & targets).sum(0).double()
    both = (said.sum(0) + targets.sum(0)).double()
    return float((2 * right / both)[both > 0].mean())


def _refuse(key: str, only: str) -> None:
    raise UserError(
        f'regularisation.{key}: pictures with several labels have no one class; set it to "{only}".'
    )
