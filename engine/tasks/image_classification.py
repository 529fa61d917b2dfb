"""Pictures to one of several classes."""

from typing import Any

from engine import data
from engine.contract.config import Config
from engine.data import DataIndex, Feeding, TrainLoader, ValLoader, lists
from engine.data.known_sets import KnownIndex, KnownPictures, index_known
from engine.data.pictures import LabelledPictures, Pictures
from engine.models.source import LoadedModel, Tell
from engine.places import known_set
from engine.tasks.classifying import Classifying


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
            known = isinstance(index, KnownIndex)
            return (KnownPictures if known else LabelledPictures)(part, pre, seed)

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

    def objective(self, config: Config, index: DataIndex | KnownIndex) -> Classifying:
        return Classifying(config, index.counts(index.train))
