"""How a run computes where it is free to choose: precision, layout, threads, what it remembers."""

from typing import Literal

from msgspec import Struct

from engine.contract.event import Event


class Speed(Struct, frozen=True):
    """What a run keeps for its life, since other kernels round otherwise."""

    device: str
    """The kind: 'cpu', 'cuda' or 'mps'."""
    precision: str
    channels_last: bool


class Timed(Struct, frozen=True):
    """A way to compute, and what it took."""

    precision: str
    channels_last: bool
    threads: int | None
    """Of the CPU; None on a GPU."""
    milliseconds: float
    """Of a forward and a backward pass, the quickest of several in turn."""


class SpeedMeasured(Event, frozen=True):
    """What `auto` settings come to was measured before the first step, with real passes.

    The run keeps it: resumed, rewound and replayed it computes the same way.
    """

    tried: list[Timed]
    """The first is what the run would have without measuring."""
    chosen: int
    """Position among `tried`."""
    samples: int
    """In each pass."""


class ModelCompiled(Event, frozen=True):
    """torch.compile made the forward and backward passes of training, under the plan in force."""

    step: int
    seconds: float
    gain: float | None = None
    """How many times as fast they are as before, where that was measured."""


class PrefixAdvanced(Event, frozen=True):
    """How far the frozen part is computed that is to be remembered; about once a second."""

    step: int
    samples: int
    of: int
    """Both with each view of a sample counted."""
    reused: int = 0
    """Of `samples`, those that were found on disk, where another run or this one had put them."""


class PrefixCached(Event, frozen=True):
    """What lies before everything that trains was computed once and is remembered, or is not."""

    step: int
    data: Literal["training", "validation"]
    cut: str = ""
    """Where the model goes on from, in words; empty where nothing is remembered."""
    samples: int = 0
    views: int = 1
    """Of each, where augmentation makes several; they are among `samples`."""
    reused: int = 0
    """Of them, those that were found on disk, where another run or this one had put them."""
    precision: Literal["exact", "fp16", "bf16"] = "exact"
    """In which they are kept."""
    size: int = 0
    """Bytes."""
    on_disk: bool = False
    share: float = 0.0
    """Of the operations of a forward pass, those that are saved."""
    why: str = ""
    """Why nothing is remembered, in a few words."""
