"""What a source of models offers: the words between a library such as torchvision and us."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from torch import nn

from engine.contract.catalogue import CatalogueEntry
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.preprocessing import Preprocessing
from engine.contract.tasks import TASKS
from engine.contract.text import plain
from engine.contract.tree import ModelInfo

Tell = Callable[[str], None]
"""Takes a few words for the screen when a slow stage begins or advances."""


ON_PICTURES = ("image-classification", "multi-label-classification")
"""Tasks of a classifier of pictures."""
FITTING = {
    "image-classification": "torchvision/resnet50",
    "multi-label-classification": "torchvision/resnet50",
    "semantic-segmentation": "torchvision/deeplabv3_mobilenet_v3_large",
}
"""Task to a model that learns it, for whoever asked for one that does not."""


def require_task(name: str, task: str, takes: Sequence[str]) -> None:
    """Raises `UserError` where the model SOURCE/NAME, which takes these tasks, is asked for
    another."""
    if task not in takes:
        own = " and ".join(TASKS[known].title for known in takes)
        instead = f"; take one that is, such as {FITTING[task]}" if task in FITTING else ""
        raise UserError(
            f"model.name: {plain(name)} is for {own}, not for {TASKS[task].title}{instead}."
        )


def stand_in(task: str) -> int:
    """Classes where nobody knows yet how many there will be: as published heads mostly have."""
    return 21 if task == "semantic-segmentation" else 1000  # Pascal VOC's, ImageNet's


@dataclass(frozen=True)
class Wanted:
    """Which model, and for what."""

    name: str
    """As the source knows it, without the source's own name."""
    weights: str = "DEFAULT"
    task: str = "image-classification"
    classes: int | None = None
    """Outputs of the head; None keeps the published head, or that of a module of one's own."""
    image_size: int | None = None
    """Side of the square that it is to take, in pixels; None for what its weights were trained
    for."""
    pooling: str = "auto"
    """As `text.pooling`."""

    def sized(self, preprocessing: Preprocessing) -> Preprocessing:
        """That of its weights, for pictures of the size that is wanted."""
        return preprocessing if self.image_size is None else preprocessing.at(self.image_size)


@dataclass(frozen=True)
class LoadedModel:
    """A network on the CPU, its weights in it and its head made for the data."""

    module: nn.Module
    """Takes what the task's data gives, and gives what its objective takes, in training and
    evaluation alike."""
    info: ModelInfo
    weights: str
    """Where the weights came from, in words."""
    tokenizer: Any = None
    """Of a language model: a `transformers.PreTrainedTokenizerBase`."""
    code: str = ""
    """Digest of the user's own code that made it."""

    def preprocessing(self, config: Config) -> Preprocessing:
        """How pictures become its inputs, at the size that a config asks for.

        Raises `UserError` where it takes no pictures.
        """
        return preprocessing(self.info, config)


def preprocessing(info: ModelInfo, config: Config) -> Preprocessing:
    """As `LoadedModel.preprocessing`, of a model that was not loaded."""
    own, size = info.preprocessing, config.data.image_size
    if own is None:
        raise UserError(f"model.name: {plain(info.name)} takes no pictures.")
    return own if size == "auto" else own.at(size)


class Language(NamedTuple):
    """How a language model reads."""

    tokenizer: Any
    """A `transformers.PreTrainedTokenizerBase`."""
    positions: int | None
    """As of `ModelInfo`."""


class ModelSource(Protocol):
    """A library of architectures; a new one is a file beside this and a line in the registry."""

    name: str
    """First part of `model.name`: "torchvision"."""

    def catalogue(self) -> list[CatalogueEntry]:
        """Every model on offer, by name; nothing is built or downloaded."""
        ...

    def describe(self, wanted: Wanted) -> ModelInfo:
        """The tree of a model built without memory.

        Raises `UserError` on an unknown model or weight. No weights are downloaded or read.
        """
        ...

    def load(self, wanted: Wanted, tell: Tell, structure_only: bool = False) -> LoadedModel:
        """The model with its weights; a new head follows torch's global seed.

        With `structure_only` the weights are random, and `wanted.weights` says no more than what
        they were trained for. Raises `UserError` where the weights can't be had or don't fit, or
        the model can't take the size.
        """
        ...

    def drop_rates(self, name: str, module: nn.Module) -> dict[str, float]:
        """Where `module`, a model of that name, takes stochastic depth: paths to rates.

        Only the proportions of the rates count. Empty where it takes none.
        """
        ...

    def cache_folder(self) -> Path:
        """Where this source's downloads lie."""
        ...
