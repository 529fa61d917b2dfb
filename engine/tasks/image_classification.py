"""Pictures to one of several classes."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from engine import data
from engine.contract.config import Config
from engine.data import DataIndex, Feeding, TrainLoader, ValLoader, lists
from engine.data.known_sets import KnownIndex, KnownPictures, index_known, labels_of
from engine.data.likeness import of_image
from engine.data.pictures import LabelledPictures, Pictures
from engine.data.preview import PicturePart, Preview
from engine.models.source import LoadedModel, Tell
from engine.places import known_set
from engine.tasks import seen
from engine.tasks.classifying import Classifying
from engine.tasks.task import Blank


class ImageClassification:
    """A folder a class, a list or a data set of torchvision; a network that gives logits."""

    def index(self, config: Config, tell: Tell) -> DataIndex | KnownIndex:
        if known_set(config.data.path):
            return index_known(config, tell)
        if lists.is_list(config.data.path):
            return lists.index_list(config, tell)
        return data.index_folder(config.data, tell)

    def data(
        self, config: Config, index: DataIndex | KnownIndex, model: LoadedModel, feeding: Feeding
    ) -> tuple[TrainLoader, ValLoader]:
        pre, seed = model.preprocessing(config), config.training.seed

        def pictures(part: Any) -> Pictures:
            return _kind(index)(part, pre, seed, feeding.keep)

        return (
            TrainLoader(
                pictures(index.train),
                config.data,
                seed,
                feeding,
                config.regularisation.sampling,
            ),
            ValLoader(pictures(index.val), config.data, feeding),
        )

    def preview(self, config: Config, tell: Tell) -> Preview:
        index = self.index(config, tell)
        classes = len(index.classes)

        def part(side: str) -> PicturePart:
            samples = getattr(index, side)
            pictures = seen.pictures(config, classes, partial(_kind(index), samples))
            if isinstance(index, KnownIndex):
                labels = labels_of(samples).tolist()
                name = f"{index.name} {side}"
                return PicturePart(
                    pictures,
                    [(label,) for label in labels],
                    lambda number: f"{name} {number}",
                    lambda number: of_image(samples[number][0]),
                )
            files = seen.files(config, [sample.path for sample in samples])
            return PicturePart(pictures, [(sample.label,) for sample in samples], *files)

        return Preview(index.told(), part("train"), part("val"), index.skipped, index.held_out)

    def objective(self, config: Config, index: DataIndex | KnownIndex) -> Classifying:
        return Classifying(config, index.counts(index.train))

    def blank(self, config: Config, model: LoadedModel, classes: int) -> Blank:
        side = model.preprocessing(config).image_size

        def batch(size: int) -> tuple[Tensor, Tensor]:
            return torch.empty(size, 3, side, side), torch.zeros(size, dtype=torch.int64)

        return Blank(Classifying(config, [1] * classes), batch)


def _kind(index: DataIndex | KnownIndex) -> type[LabelledPictures | KnownPictures]:
    return KnownPictures if isinstance(index, KnownIndex) else LabelledPictures
