"""What a source of models offers: the words between a library such as torchvision and us."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from engine.contract.catalogue import CatalogueEntry
from engine.contract.tree import ModelInfo

Tell = Callable[[str], None]
"""Takes a few words for the screen when a slow stage begins or advances."""


@dataclass(frozen=True)
class Wanted:
    """Which model, and for what."""

    name: str
    """As the source knows it, without the source's own name."""
    weights: str = "DEFAULT"
    task: str = "image-classification"
    classes: int | None = None
    """Outputs of the head; None keeps the published head."""
    image_size: int | None = None
    """Side of the square that it is to take, in pixels; None for what its weights were trained
    for."""


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
