"""What a source of models offers: the words between a library such as torchvision and us."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import nn

from engine.contract.catalogue import CatalogueEntry
from engine.contract.tree import ModelInfo

Tell = Callable[[str], None]
"""Takes a few words for the screen when a slow stage begins or advances."""


@dataclass(frozen=True)
class LoadedModel:
    """A network on the CPU, its weights in it and its head made for the data."""

    module: nn.Module
    """Takes (B, 3, H, W) float32, gives logits (B, classes), in training and evaluation alike."""
    info: ModelInfo
    weights: str
    """Where the weights came from, in words."""


class ModelSource(Protocol):
    """A library of architectures; a new one is a file beside this and a line in the registry."""

    name: str
    """First part of `model.name`: "torchvision"."""

    def catalogue(self) -> list[CatalogueEntry]:
        """Every model on offer, by name; nothing is built or downloaded."""
        ...

    def describe(self, name: str, weights: str, classes: int | None) -> ModelInfo:
        """The tree of a model built without memory; `classes` None keeps the published head.

        Raises `UserError` on an unknown model or weight. Nothing is downloaded or read.
        """
        ...

    def load(
        self,
        name: str,
        weights: str,
        classes: int,
        tell: Tell,
        image_size: int | None,
        structure_only: bool = False,
    ) -> LoadedModel:
        """The model with its weights; a new head follows torch's global seed.

        `image_size` in pixels, None for what the weights were trained for. With `structure_only`
        the weights are random, and `weights` says no more than what they were trained for. Raises
        `UserError` where the weights can't be had or don't fit, or the model can't take the size.
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
