"""Where the frozen beginning of a model ends, and the rest of it run from there.

The model itself runs the rest: calls of modules that are frozen, fixed and before everything else
are answered instead of made, those that matter from memory and the others with NaN. So there is no
second model, and what is left of a step is what it always was. It works for whatever is made of
modules: torch.fx would need a tracer of its own for Transformers, which no longer has one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from engine.data.batch import Inputs
from engine.prefix.calls import Calls, Forward, tensors

MARK = "@"
"""Begins the names of what is remembered, beside inputs that go by the names of arguments."""
WORTH = 0.05
"""Share of a forward pass that it takes for being remembered: a look-up in a table of embeddings
costs less than what it gives."""
NOTHING = "nothing is frozen before what trains"
BATCH, LENGTH = -1, -2

Run = Callable[[Inputs], Any]
"""A forward pass of the model."""
Place = tuple[str, int]
"""A call: the path of its module, and how many of its calls come before."""


class Unfit(Exception):  # noqa: N818 - no error, a finding
    """Nothing is to be remembered; why, in a few words."""


class Sizes(NamedTuple):
    """Of a batch: samples, and of texts the tokens of each, padding included."""

    batch: int
    length: int

    @classmethod
    def of(cls, inputs: Inputs) -> "Sizes":
        if isinstance(inputs, Tensor):
            return cls(len(inputs), 0)
        first = next(iter(inputs.values()))
        return cls(first.shape[0], first.shape[1] if first.ndim > 1 else 0)


@dataclass(frozen=True)
class Row:
    """What one tensor within the pass is, for any batch; its first axis is the batch."""

    name: str
    shape: tuple[int, ...]
    """Sizes, or `BATCH` and `LENGTH` for those that change."""
    dtype: torch.dtype
    order: tuple[int, ...]
    """Its axes as they lie in memory, the outermost first; kernels round by it."""

    def sized(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """`shape` for a batch of these sizes."""
        known = {BATCH: sizes[0], LENGTH: sizes[1]}
        return tuple(known.get(size, size) for size in self.shape)

    @property
    def stored(self) -> tuple[int | None, ...]:
        """Shape of a sample as it is stored; None is the length of a text."""
        return tuple(None if self.shape[x] == LENGTH else self.shape[x] for x in self.order[1:])

    def laid(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """`sized` as it is stored."""
        sized = self.sized(sizes)
        return tuple(sized[axis] for axis in self.order)

    def taken(self, tensor: Tensor) -> Tensor:
        """A copy of `tensor` as it is stored: nothing that is done in place can reach it."""
        return tensor.detach().permute(self.order).clone(memory_format=torch.contiguous_format)

    def given(self, stored: Tensor) -> Tensor:
        """What `taken` was made of."""
        back = sorted(range(len(self.order)), key=self.order.__getitem__)
        return stored.to(self.dtype).permute(back)

    def blank(self, sizes: Sequence[int], device: torch.device) -> Tensor:
        """NaN in place of the tensor: whatever should depend on it would show it."""
        return torch.full((), math.nan, dtype=self.dtype, device=device).expand(self.sized(sizes))


@dataclass(frozen=True)
class Answer:
    """What a call gives: rows, and values that are no tensors, in the tree `spec`."""

    spec: pytree.TreeSpec
    leaves: list[Any]

    def put(self, make: Callable[[Row], Tensor]) -> Any:
        """The output, of tensors that `make` gives."""
        if self.spec.is_leaf() and isinstance(self.leaves[0], Row):
            return make(self.leaves[0])
        leaves = [make(x) if isinstance(x, Row) else x for x in self.leaves]
        return pytree.tree_unflatten(leaves, self.spec)

    def rows(self) -> list[Row]:
        return [leaf for leaf in self.leaves if isinstance(leaf, Row)]


@dataclass
class Cut:
    """A place where a forward pass can begin."""

    modules: dict[str, nn.Module]
    answers: dict[Place, Answer]
    into: Place | None = None
    """The first call that is made, where what goes into it is remembered."""
    into_rows: dict[int, Row] = field(default_factory=dict)
    """Those of its arguments, by their position among all tensors."""
    last: bool = False
    """Whether what `into` gives, of one tensor, is what the whole pass gives."""
    input: Row | None = None
    """Of a model that takes one tensor."""
    points: dict[str, Row] = field(default_factory=dict)
    """What is remembered, by name."""
    fixed: list[Tensor] = field(default_factory=list)
    """All weights and buffers that it depends on."""
    share: float = 0.0
    """Of the operations of a forward pass, those that come before it."""
    _blanks: dict[str, Tensor] = field(default_factory=dict)
    """By name, as the last batch had them: a step of a small head is little more than these."""
    _blank_at: tuple[Sizes, torch.device] | None = None

    @property
    def words(self) -> str:
        """Where it is, in words."""
        if self.into and any(row.name in self.points for row in self.into_rows.values()):
            return f"before {self.into[0]}"
        last = [p for (p, _), x in self.answers.items() if self._kept(x)]
        return f"after {last[-1]}" if last else "before the model"

    def size(self, length: int) -> int:
        """Bytes of a sample as it was computed, a text of so many tokens."""
        return sum(
            math.prod(row.sized((1, length))) * row.dtype.itemsize for row in self.points.values()
        )

    def record(self, run: Run, inputs: Inputs) -> dict[str, Tensor]:
        """What is remembered of a batch: the pass is broken off where all of it is known.

        Raises `Unfit` where that is not of the shape that it was found to have.
        """
        found: dict[str, Tensor] = {}

        def take(row: Row, tensor: Tensor) -> None:
            if row.name in self.points:
                found[row.name] = row.taken(tensor)

        def made(calls: Calls, path: str, number: int, forward: Forward, *given: Any) -> Any:
            answer = self.answers.get((path, number))
            if answer is None:
                if (path, number) == self.into:
                    arguments = tensors(given)
                    for position, row in self.into_rows.items():
                        take(row, arguments[position])
                    raise _Known
                return forward(*given[0], **given[1])
            output = calls.unseen(forward, *given)
            for row, tensor in zip(answer.rows(), tensors(output), strict=True):
                take(row, tensor)
            if len(found) == len(self.points):
                raise _Known
            return output

        if self.input:
            assert isinstance(inputs, Tensor)
            take(self.input, inputs)
        try:
            with torch.no_grad(), Calls(made).of(self.modules):
                run(inputs)
        except _Known:
            sizes = Sizes.of(inputs)
            if all(found[x].shape == row.laid(sizes) for x, row in self.points.items()):
                return found
        raise Unfit("the model runs otherwise for some batches than for others")

    def play(self, run: Run, remembered: Mapping[str, Tensor]) -> Any:
        """What `run` gives, from what `record` gave; inputs by name lie beside it.

        To be called under the autocast that `run` has.
        """
        if self.into and self.last:
            (row,) = self.points.values()
            return self.modules[self.into[0]](row.given(remembered[row.name]))
        inputs: Inputs = {k: x for k, x in remembered.items() if k not in self.points}
        device = remembered[next(iter(self.points))].device
        sizes = Sizes(
            len(remembered[next(iter(self.points))]), Sizes.of(inputs)[1] if inputs else 0
        )

        if self._blank_at != (sizes, device):
            self._blanks, self._blank_at = {}, (sizes, device)

        def make(row: Row) -> Tensor:
            if row.name in self.points:
                return row.given(remembered[row.name])
            if (blank := self._blanks.get(row.name)) is None:
                blank = self._blanks[row.name] = row.blank(sizes, device)
            return blank

        def answer(_: Calls, path: str, number: int, forward: Forward, *given: Any) -> Any:
            if known := self.answers.get((path, number)):
                return known.put(make)
            if (path, number) == self.into:
                given = replaced(given, {k: make(row) for k, row in self.into_rows.items()})
            return forward(*given[0], **given[1])

        if self.input:
            inputs = make(self.input)
        with Calls(answer).of(self.modules):
            return run(inputs)

    def _kept(self, answer: Answer) -> bool:
        return any(row.name in self.points for row in answer.rows())


class _Known(BaseException):
    """All is recorded; no `except Exception` in a model may take it for an error."""


def replaced(given: Any, by_position: Mapping[int, Tensor]) -> Any:
    """Arguments with some of their tensors, counted in order, replaced."""
    leaves, spec = pytree.tree_flatten(given)
    places = [n for n, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    for position, tensor in by_position.items():
        leaves[places[position]] = tensor
    return pytree.tree_unflatten(leaves, spec)
