"""Pictures to one of several classes."""

from engine import data
from engine.contract.config import Config
from engine.data import DataIndex, Feeding, TrainLoader, ValLoader
from engine.data.pictures import LabelledPictures
from engine.models.source import LoadedModel
from engine.tasks.classifying import Classifying
from engine.tasks.task import Tell


class ImageClassification:
    """A folder a class, a network that gives logits."""

    def index(self, config: Config, tell: Tell) -> DataIndex:
        return data.index_folder(config.data, tell)

    def data(
        self, config: Config, index: DataIndex, model: LoadedModel, feeding: Feeding
    ) -> tuple[TrainLoader, ValLoader]:
        pre, seed = model.preprocessing(config), config.training.seed
        return (
            TrainLoader(
                LabelledPictures(index.train, pre, seed),
                config.data,
                seed,
                feeding,
                config.regularisation.sampling,
            ),
            ValLoader(LabelledPictures(index.val, pre, seed), config.data, feeding),
        )

    def objective(self, config: Config, index: DataIndex) -> Classifying:
        return Classifying(config, index.counts(index.train))
