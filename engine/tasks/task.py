"""What a task is to those who prepare a run, and to the loop and the evaluation."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn

from engine.contract.config import Augment, Config
from engine.contract.events import DataIndexed, FileSkipped
from engine.data.batch import Batch, Inputs
from engine.data.preview import Preview
from engine.data.workers import Feeding
from engine.device import Device
from engine.models.source import LoadedModel, Tell
from engine.tasks.measured import Measured, Outcome, Verdict


@dataclass(frozen=True)
class Figures:
    """What an evaluation measured; the fields of `Evaluated`."""

    loss: float | None
    """Mean, None where not finite."""
    figures: dict[str, float]
    samples: int
    by_class: list[float | None] = field(default_factory=list)

    def value(self, figure: str) -> float | None:
        """Of a figure, or of the loss; None where it is not defined."""
        return self.loss if figure == "loss" else self.figures.get(figure)


class Objective(Protocol):
    """What is minimised, and what is measured."""

    def outputs(self, module: nn.Module, inputs: Inputs) -> Any:
        """What a model says of a batch, as `loss` and `measure` take it."""
        ...

    def mix(self, inputs: Inputs, targets: Tensor, seed: int) -> tuple[Inputs, Tensor]:
        """The inputs and targets of a training batch; its randomness is drawn from `seed` alone."""
        ...

    def loss(self, outputs: Any, targets: Tensor) -> Tensor:
        """What training minimises, of targets as `mix` gives them: a scalar in float32, the mean
        over the samples of the batch, each of which counts the same whichever others are in it."""
        ...

    @property
    def score(self) -> str:
        """What the score of a verdict is, in words; empty where there is none."""
        ...

    def measure(self, outputs: Any, targets: Tensor) -> Measured:
        """What an evaluation keeps of one batch, on the outputs' device."""
        ...

    def figures(self, sums: Sequence[float], rows: Tensor) -> Figures:
        """What these come to, of one sample or more; the rows are on the CPU."""
        ...

    def outcome(self, sums: Sequence[float], rows: Tensor) -> Outcome:
        """Likewise class by class; nothing where the task has no classes."""
        ...

    def verdicts(self, rows: Tensor) -> Iterable[Verdict]:
        """What was said of each sample of some rows, in their order."""
        ...


class Said(NamedTuple):
    """A text that was generated, safe to show."""

    prompt: str
    text: str
    """What follows on it; lines may be several."""


@runtime_checkable
class Generative(Protocol):
    """An objective whose models generate text."""

    def generate(self, module: nn.Module, device: Device, step: int) -> Said | None:
        """By a module in eval mode, the same for the same weights and step; None: nothing."""
        ...


class TrainData(Protocol):
    """Batches of an epoch: a function of its number alone, from any batch on."""

    def __len__(self) -> int: ...

    @property
    def samples(self) -> int:
        """How many there are."""
        ...

    @property
    def varies(self) -> bool:
        """Whether a sample is another one in each epoch."""
        ...

    def epoch(self, number: int, skip_batches: int = 0) -> Iterator[Batch]: ...

    def numbers(self, number: int, skip_batches: int = 0, views: int = 1) -> Iterator[list[int]]:
        """The samples of each batch of `epoch`, which aren't read; of several views one is drawn
        for each, and view v of sample n is n + v * samples."""
        ...

    def in_order(self, skip_batches: int = 0, view: int = 0) -> Iterator[Batch]:
        """A view of each sample by its number, in batches of one size; each view is augmented
        otherwise."""
        ...

    def set_augmentation(self, augment: Augment, strength: float) -> None:
        """From the next call of `epoch` on."""
        ...

    def close(self) -> None: ...


class ValData(Protocol):
    """Batches to evaluate on, the same each time."""

    @property
    def samples(self) -> int:
        """How many there are."""
        ...

    def __iter__(self) -> Iterator[Batch]: ...

    def close(self) -> None: ...


class Index(Protocol):
    """A data set, listed and split: the same files and the same config give the same."""

    @property
    def classes(self) -> list[str]:
        """Safe to show; empty where the task has none."""
        ...

    @property
    def skipped(self) -> list[FileSkipped]:
        """Files that can't be used."""
        ...

    def name_of(self, number: int) -> str:
        """A validation sample by its position: a file, FILE:LINE or words; safe to show."""
        ...

    @property
    def digest(self) -> str:
        """Of the training samples in their order: an epoch can go on where it is the same."""
        ...

    def told(self) -> DataIndexed:
        """What a journal says of it."""
        ...


class Blank(NamedTuple):
    """What training goes by where there is no data: for counting what a step costs."""

    objective: Objective
    batch: Callable[[int], tuple[Inputs, Tensor]]
    """So many samples and their targets; of texts, as long as they may be."""
    length: int | None = None
    """Tokens of each of them; None where they are no texts."""


AnIndex = TypeVar("AnIndex", bound=Index)


class Task(Protocol[AnIndex]):
    """A new task is a file beside this and a line in the registry; the contract has its words."""

    def index(self, config: Config, tell: Tell) -> AnIndex:
        """List and split the data. Raises `UserError` where it can't be used."""
        ...

    def data(
        self, config: Config, index: AnIndex, model: LoadedModel, feeding: Feeding
    ) -> tuple[TrainData, ValData]:
        """Batches for the model. Raises `UserError` where data and model don't fit."""
        ...

    def preview(self, config: Config, tell: Tell) -> Preview:
        """The data, listed and split, for a person to look at; there may be no model yet
        (`engine.contract.inspection.NO_MODEL`). Raises `UserError` where it can't be used."""
        ...

    def objective(self, config: Config, index: AnIndex) -> Objective:
        """Raises `UserError` where settings contradict each other."""
        ...

    def blank(self, config: Config, model: LoadedModel, classes: int) -> Blank:
        """As for data of so many classes. Raises `UserError` where the model does not fit."""
        ...
