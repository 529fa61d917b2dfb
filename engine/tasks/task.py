"""What a task is to the loop and to the evaluation."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Figures:
    """What an evaluation measured; the fields of `Evaluated`."""

    loss: float | None
    """Mean, None where not finite."""
    top1: float
    top5: float | None
    images: int


class Task(Protocol):
    """A new task is a file beside this and a line in the registry."""

    def mix(self, images: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """The inputs and targets of a training batch; its randomness is drawn from `seed` alone."""
        ...

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """What training minimises, of targets as `mix` gives them: a scalar, the mean over the
        batch."""
        ...

    def sums(self, logits: Tensor, labels: Tensor) -> Tensor:
        """What an evaluation adds up, of one batch; shape (figures,), on the logits' device."""
        ...

    def figures(self, sums: list[list[float]], images: int, classes: int) -> Figures:
        """What these come to, over `images` > 0 pictures."""
        ...
