"""What a model is given at once, whatever the task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from engine.contract.events import FileSkipped

Inputs = Tensor | dict[str, Tensor]
"""What goes into the model: one tensor, or several by the names of its arguments. The first axis of
each is the batch."""


@dataclass
class Batch:
    """Samples ready for the model.

    Broken ones are dropped, so that a batch may be smaller than asked for, down to none or one.
    """

    inputs: Inputs
    targets: Tensor
    """What is to be said of each input; the first axis is the batch."""
    skipped: Sequence[FileSkipped] = ()
    """The broken ones, each named the first time it is met."""
    numbers: Sequence[int] = ()
    """Positions of the samples in the list that they are read from."""

    def __len__(self) -> int:
        return len(self.targets)

    def share_memory_(self) -> None:
        for each in (self.inputs, self.targets):
            on_each(each, lambda tensor: tensor.share_memory_())  # type: ignore[no-untyped-call]

    def pin_memory(self) -> "Batch":
        pinned = on_each(self.inputs, lambda tensor: tensor.pin_memory())
        return replace(self, inputs=pinned, targets=self.targets.pin_memory())


def on_each(inputs: Inputs, do: Callable[[Tensor], Tensor]) -> Inputs:
    """What `do` makes of each of the tensors."""
    if isinstance(inputs, Tensor):
        return do(inputs)
    return {name: do(tensor) for name, tensor in inputs.items()}


def in_parts(inputs: Inputs, targets: Tensor, count: int) -> list[tuple[Inputs, Tensor]]:
    """A batch cut into so many parts, of nearly the same size and in order."""
    if count == 1:
        return [(inputs, targets)]
    wanted = targets.tensor_split(count)
    if isinstance(inputs, Tensor):
        return list(zip(inputs.tensor_split(count), wanted, strict=True))
    names = list(inputs)
    columns = zip(*(inputs[name].tensor_split(count) for name in names), strict=True)
    parts = [dict(zip(names, column, strict=True)) for column in columns]
    return list(zip(parts, wanted, strict=True))
