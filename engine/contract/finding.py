"""What is looked for before a run starts, a learning rate or a batch size, and what is told of it
meanwhile: one JSON object a line from the process that looks."""

from msgspec import Struct

from engine.contract.config import Config
from engine.contract.events import PreparationAdvanced, Warned

LOWEST_LR, HIGHEST_LR, LR_STEPS = 1e-7, 10.0, 100
"""Rates that are tried grow exponentially from the first to the second."""
SMOOTHING = 0.9
"""The weight of the past in the moving average of the losses that suggestions are taken from."""


class FindRate(Struct, frozen=True, tag_field="find", tag="lr"):
    """Which `optimizer.lr` a run of a config should have."""

    config: Config


class FindSize(Struct, frozen=True, tag_field="find", tag="batch"):
    """Which `data.batch_size` a run of a config should have."""

    config: Config


Sought = FindRate | FindSize


class Found(Struct, frozen=True, tag_field="event", tag=True):
    """What a search says; it is no event of a run."""


class RateTried(Found, frozen=True):
    """A step at one base learning rate."""

    lr: float
    loss: float | None
    """Of the batch, before the step; None where it is not finite."""


class SizeTried(Found, frozen=True):
    """Steps on batches of one size."""

    size: int
    samples_per_second: float
    """Forward, backward and update; reading is left out."""
    memory: int
    """Bytes that were taken at most: on a GPU by tensors, else by the process since its model was
    about to be built."""


class Suggested(Found, frozen=True):
    """The search is over."""

    value: float | None
    """The rate or the size; None where there is none to suggest."""
    why: str
    """In sentences: what speaks for it, and what ended the search."""
    seconds: float
    """From the first step on."""


class SearchFailed(Found, frozen=True):
    """The search is over without a result."""

    error: str


Finding = PreparationAdvanced | Warned | RateTried | SizeTried | Suggested | SearchFailed
