"""What the app asks of the process that knows torch; tests put another in its place."""

from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from engine.contract.catalogue import Catalogue
from engine.contract.config import Config
from engine.contract.cost import Cost
from engine.contract.finding import Finding, Sought
from engine.contract.inspection import Overview, Samples, Scan, TextBaseline, Which
from engine.contract.tree import ModelInfo


class ModelInspector(Protocol):
    """As `engine.runs.inspect.Inspector`; each raises `UserError` where its process fails."""

    async def start(self) -> None:
        """Begin to warm up; the others do it too where this was not called."""

    async def catalogue(self) -> Catalogue:
        """Every model that can be chosen."""
        ...

    async def describe(
        self,
        name: str,
        weights: str = "DEFAULT",
        classes: int | None = None,
        task: str = "image-classification",
        pooling: str = "auto",
    ) -> ModelInfo:
        """The tree of a model; nothing is downloaded."""
        ...

    async def baseline(self, config: Config) -> TextBaseline:
        """TF-IDF on the texts of a config; the other questions do not wait for it."""

    async def cost(self, config: Config, classes: int | None = None, pieces: int = 1) -> Cost:
        """What a step costs; the data is not looked at."""
        ...

    def find(self, sought: Sought) -> AsyncGenerator[Finding, None]:
        """A learning rate or a batch size, step by step; the process ends with the iterator."""
        ...

    async def data(self, config: Config, tell: Callable[[str], None]) -> Overview:
        """A data set as it lies on the disk now; `tell` hears how far it is."""
        ...

    async def scan(self, config: Config) -> Scan:
        """What is known of its samples after looking at some more."""
        ...

    async def samples(self, config: Config, which: Which) -> Samples:
        """Samples as the model is given them, to be looked at."""
        ...

    async def leave_data(self) -> None:
        """End what is at a data set; models are described by another process."""

    async def close(self) -> None:
        """End all processes."""
