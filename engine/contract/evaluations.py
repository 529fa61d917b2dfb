"""Events of an evaluation; as of `engine.contract.events`, which has them too."""

from typing import Literal

from msgspec import field

from engine.contract.event import Event


class Evaluated(Event, frozen=True):
    """The validation data was run through the model in eval mode."""

    step: int
    epoch: int
    reason: Literal["epoch", "command"]
    loss: float | None
    """Mean over the samples, with nothing that is there for training alone."""
    figures: dict[str, float]
    """What the task measures, by the keys of `engine.contract.tasks`, as far as it is defined."""
    samples: int
    seconds: float
    weights: Literal["raw", "ema"] = "raw"
    """Whether the weights are those that train, or their moving average."""
    by_class: list[float | None] = field(default_factory=list)
    """Of segmentation the IoU of each class, None where it is nowhere; empty for other tasks."""

    def value(self, figure: str) -> float | None:
        """Of a figure, or of the loss; None where it is not defined."""
        return self.loss if figure == "loss" else self.figures.get(figure)


class PredictionsSaved(Event, frozen=True):
    """What the model said of each sample is in a file; as of `engine.contract.predictions`."""

    step: int
    epoch: int
    path: str
    """Relative to the run's folder; each time in place of what was there before."""
    samples: int


class TextGenerated(Event, frozen=True):
    """What a language model goes on with after a prompt, at an evaluation."""

    step: int
    epoch: int
    prompt: str
    text: str
    """Lines may be several; each is safe to show."""


class InterpolationEvaluated(Event, frozen=True):
    """WiSE-FT: a blend of the weights that training began with and those it ended with."""

    step: int
    alpha: float
    """Share of the tuned weights."""
    loss: float | None
    figures: dict[str, float]
    """As of `Evaluated`."""
