"""What a plan costs: worked out before anything runs."""

from msgspec import Struct


class Cost(Struct, frozen=True, kw_only=True):
    """Of one training step; memory in bytes, as the tensors of a CPU take it."""

    trainable: int
    """Parameters (elements)."""
    weights: int
    """Parameters, adapters included, and buffers."""
    gradients: int
    """Of all that trains."""
    optimizer: int
    """Its state; with it the moving average of the weights, where there is one."""
    activations: int
    """What is held when the forward pass ends: what the backward pass needs, and the batch."""
    peak: int
    """The most that is held at once; less than the sum, as activations go while gradients come."""
    batch: int
    """Samples that go through the model at once."""
    length: int | None
    """Tokens of each, the longest that there may be; None where they are no texts."""
    flops: int
    """Of a step: products and sums of convolutions, matrices and attention, counted apart."""
    prefix: float
    """Share of the forward pass's operations that depend on nothing that trains: what
    `training.cache` can save."""
    seconds: float | None
    """Of a step, without reading the data; None where the device was not measured."""
    prefix_seconds: float | None
    """Of them, those of the prefix."""
    free: int | None
    """Bytes free on the device now."""
    device: str
    """As `training.device` names it."""
