"""Where models come from: a registry of sources, and three functions over all of them."""

from engine.contract.catalogue import Catalogue
from engine.contract.config import Config, is_folder, own_module
from engine.contract.errors import UserError
from engine.contract.text import did_you_mean, plain
from engine.contract.tree import ModelInfo
from engine.models import dropout
from engine.models.hf import HfSource
from engine.models.own import OwnSource
from engine.models.source import Language, LoadedModel, ModelSource, Tell, Wanted
from engine.models.timm import TimmSource
from engine.models.torchvision import TorchvisionSource

__all__ = [
    "SOURCES",
    "Language",
    "LoadedModel",
    "ModelSource",
    "Wanted",
    "catalogue",
    "describe",
    "language",
    "load",
]

SOURCES: dict[str, ModelSource] = {
    source.name: source for source in (TorchvisionSource(), TimmSource(), HfSource(), OwnSource())
}


def catalogue() -> Catalogue:
    """Every model of every source that is installed."""
    return Catalogue(
        entries=[entry for source in SOURCES.values() for entry in source.catalogue()],
        cache_folders={name: str(source.cache_folder()) for name, source in SOURCES.items()},
    )


def describe(
    model_name: str,
    weights: str = "DEFAULT",
    classes: int | None = None,
    task: str = "image-classification",
    pooling: str = "auto",
) -> ModelInfo:
    """The tree of a model; `classes` None keeps the published head, and `pooling` is as
    `text.pooling`. Raises `UserError`."""
    source, name = _find(model_name)
    return source.describe(Wanted(name, weights, task, classes, pooling=pooling))


def load(config: Config, classes: int, tell: Tell, structure_only: bool = False) -> LoadedModel:
    """The model that a config asks for, for `classes` classes; a new head follows torch's seed.

    `structure_only` leaves the weights random, for a checkpoint to fill: those that the run began
    with are not needed then. Raises `UserError` where the model is unknown, lacks what is to be
    regularised, or its weights can't be had or don't fit.
    """
    source, name = _find(config.model.name)
    size, asked = config.data.image_size, config.regularisation
    fitted = None if size == "auto" else size
    wanted = Wanted(
        name, config.model.weights, config.task, classes or None, fitted, config.text.pooling
    )
    loaded = source.load(wanted, tell, structure_only)
    own = source.drop_rates(name, loaded.module) if asked.drop_path != "auto" else {}
    dropout.override(loaded.module, own, asked)
    return loaded


def language(config: Config, tell: Tell) -> Language:
    """How the language model reads that a config asks for; its weights are not read.

    Raises `UserError` where it is none, or its tokenizer can't be had.
    """
    source, name = _find(config.model.name)
    if not isinstance(source, HfSource):
        raise UserError(
            f"model.name: {plain(config.model.name)} reads no text; take a language model, "
            "hf/ORG/NAME or a folder in Transformers' format."
        )
    return source.language(Wanted(name, config.model.weights, config.task), tell)


def _find(model_name: str) -> tuple[ModelSource, str]:
    if own_module(model_name):
        return SOURCES["own"], model_name
    if is_folder(model_name):
        return SOURCES["hf"], model_name
    source, _, name = model_name.partition("/")
    if source not in SOURCES:
        hint = did_you_mean(source, SOURCES) or f"; there are {' and '.join(SOURCES)}."
        raise UserError(f'model.name: no source of models is called "{plain(source)}"{hint}')
    return SOURCES[source], name
