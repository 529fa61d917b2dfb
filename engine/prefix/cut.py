"""Where the frozen beginning of a model ends, and the rest of it run from there.

The model itself runs the rest: calls of modules that are frozen, fixed and before everything else
are answered instead of made, those that matter from memory and the others with NaN. So there is no
second model, and what is left of a step is what it always was. It works for whatever is made of
modules: torch.fx would need a tracer of its own for Transformers, which no longer has one.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode

from engine.contract.text import plain
from engine.data.batch import Inputs
from engine.device import Device
from engine.oom import is_out_of_memory
from engine.prefix.calls import Calls, Forward, Trace, tensors, trace

MARK = "@"
"""Begins the names of what is remembered, beside inputs that go by the names of arguments."""
WORTH = 0.05
"""Share of a forward pass that it takes for being remembered: a look-up in a table of embeddings
costs less than what it gives."""
NOTHING = "nothing is frozen before what trains"
_BATCH, _LENGTH = -1, -2

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
    """Sizes, or `_BATCH` and `_LENGTH` for those that change."""
    dtype: torch.dtype
    order: tuple[int, ...]
    """Its axes as they lie in memory, the outermost first; kernels round by it."""

    def sized(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """`shape` for a batch of these sizes."""
        known = {_BATCH: sizes[0], _LENGTH: sizes[1]}
        return tuple(known.get(size, size) for size in self.shape)

    @property
    def stored(self) -> tuple[int | None, ...]:
        """Shape of a sample as it is stored; None is the length of a text."""
        return tuple(None if self.shape[x] == _LENGTH else self.shape[x] for x in self.order[1:])

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
    input: Row | None = None
    """Of a model that takes one tensor."""
    points: dict[str, Row] = field(default_factory=dict)
    """What is remembered, by name."""
    fixed: list[Tensor] = field(default_factory=list)
    """All weights and buffers that it depends on."""
    share: float = 0.0
    """Of the operations of a forward pass, those that come before it."""

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
        """What is remembered of a batch: the pass is broken off where all of it is known."""
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
            return found
        raise Unfit("it ran otherwise than before")

    def play(self, run: Run, remembered: Mapping[str, Tensor]) -> Any:
        """What `run` gives, from what `record` gave; inputs by name lie beside it."""
        inputs: Inputs = {k: x for k, x in remembered.items() if k not in self.points}
        device = remembered[next(iter(self.points))].device
        sizes = Sizes(
            len(remembered[next(iter(self.points))]), Sizes.of(inputs)[1] if inputs else 0
        )

        def make(row: Row) -> Tensor:
            if row.name in self.points:
                return row.given(remembered[row.name])
            return row.blank(sizes, device)

        def answer(_: Calls, path: str, number: int, forward: Forward, *given: Any) -> Any:
            if known := self.answers.get((path, number)):
                return known.put(make)
            if (path, number) == self.into:
                given = _replaced(given, {k: make(row) for k, row in self.into_rows.items()})
            return forward(*given[0], **given[1])

        if self.input:
            inputs = make(self.input)
        with Calls(answer).of(self.modules):
            return run(inputs)

    def _kept(self, answer: Answer) -> bool:
        return any(row.name in self.points for row in answer.rows())


class _Known(BaseException):
    """All is recorded; no `except Exception` in a model may take it for an error."""


def find(module: nn.Module, run: Run, probes: Sequence[Inputs], device: Device) -> Cut:
    """The cut of `module` as it is now: what trains, in which modes.

    `probes` are two batches of different sizes, three samples at least in the first. Of two places
    to cut, behind the last frozen module or right before what is not frozen, it is that which
    needs less memory. What it gives is compared with the whole pass, bit for bit. Weights, buffers
    and generators are left as they were. Raises `Unfit` where there is none, or not worth it.
    """
    with _untouched(module, device) as reset:

        def anew(inputs: Inputs) -> Any:
            reset()
            return run(inputs)

        def watch(inputs: Inputs) -> Trace:
            return trace(module, lambda: anew(inputs), Sizes.of(inputs)[0], device.rng_state)

        traces = [watch(inputs) for inputs in probes]
        cuts = list(_candidates(module, traces, probes))
        for cut in cuts:
            _choose_points(cut, anew, probes[0])
        cuts = [cut for cut in cuts if cut.points]
        if not cuts:
            raise Unfit(NOTHING)
        best = _first_that_works(cuts, anew, probes, traces)
        best.share = _share(best, anew, probes[1])
    if best.share < WORTH:
        before = f" lies before {traces[0].end.path}" if traces[0].end else ""
        raise Unfit(f"only {best.share:.1%} of a forward pass{before}")
    return best


def _first_that_works(
    cuts: list[Cut], run: Run, probes: Sequence[Inputs], traces: Sequence[Trace]
) -> Cut:
    """The smallest first. Raises `Unfit` where none does."""
    cuts.sort(key=lambda cut: cut.size(Sizes.of(probes[0]).length))
    for cut in cuts:
        try:
            for inputs, whole in zip(probes, traces, strict=True):
                _check(cut, run, inputs, whole.outputs)
        except Unfit:
            if cut is cuts[-1]:
                raise
        else:
            return cut
    raise AssertionError


def _candidates(
    module: nn.Module, traces: Sequence[Trace], probes: Sequence[Inputs]
) -> Iterator[Cut]:
    """Without their points: behind the last frozen module, and right before what is not."""
    one, other = traces
    numbers, sizes = one.numbered(), [Sizes.of(inputs) for inputs in probes]
    both = list(zip(one.answered(), other.answered(), strict=False))
    answers: dict[Place, Answer] = {}
    for a, b in both:
        if a.path != b.path:
            raise Unfit("the model runs otherwise for a smaller batch")
        if answer := _answer(f"{MARK}{a.path}:{numbers[a]}", a.output, b.output, sizes):
            answers[a.path, numbers[a]] = answer
    if not answers:
        return
    modules = dict(module.named_modules())
    fixed = list(_fixed(modules, one))
    source = None
    if isinstance(probes[0], Tensor):
        source = _row(f"{MARK}input", probes[0], tensors(probes[1])[0], sizes)
    yield Cut(_of(modules, answers), answers, input=source, fixed=fixed)
    known = {id(x) for a, _ in both for x in tensors(a.output)}
    if one.end and other.end and one.end.path == other.end.path:
        rows = {}
        for n, (x, y) in enumerate(zip(one.end.inputs, other.end.inputs, strict=False)):
            row = _row(f"{MARK}into:{n}", x, y, sizes) if x.is_floating_point() else None
            if row and id(x) not in known and not x.requires_grad:
                rows[n] = row
        into = one.end.path, numbers[one.end]
        yield Cut(_of(modules, [*answers, into]), answers, into, rows, source, fixed=fixed)


def _of(modules: Mapping[str, nn.Module], places: Iterable[Place]) -> dict[str, nn.Module]:
    return {path: modules[path] for path, _ in places}


def _answer(name: str, x: Any, y: Any, sizes: Sequence[Sizes]) -> Answer | None:
    """To a call that gave `x` and `y` in two passes; None where a tensor is no row a sample."""
    leaves, spec = pytree.tree_flatten(x)
    known: list[Any] = []
    for n, (a, b) in enumerate(zip(leaves, pytree.tree_leaves(y), strict=True)):
        known.append(_row(f"{name}:{n}", a, b, sizes) if isinstance(a, Tensor) else a)
        if isinstance(a, Tensor) and known[-1] is None:
            return None
    return Answer(spec, known)


def _row(name: str, x: Tensor, y: Tensor, sizes: Sequence[Sizes]) -> Row | None:
    """Of the same tensor in two passes of these sizes; None where it is no row a sample."""
    if x.ndim == 0 or x.ndim != y.ndim or (len(x), len(y)) != (sizes[0].batch, sizes[1].batch):
        return None
    shape = [_BATCH]
    for a, b in zip(x.shape[1:], y.shape[1:], strict=True):
        if a != b and (a, b) != (sizes[0].length, sizes[1].length):
            return None
        shape.append(a if a == b else _LENGTH)
    order = sorted(range(x.ndim), key=x.stride().__getitem__, reverse=True)
    return Row(name, tuple(shape), x.dtype, tuple(order if order[0] == 0 else range(x.ndim)))


def _fixed(modules: Mapping[str, nn.Module], seen: Trace) -> Iterator[Tensor]:
    """Weights and buffers of what is answered, of other calls before the end, and those that the
    modules around them have of their own."""
    for call in seen.numbered():
        if call is not seen.end:
            owner, below = modules[call.path], call.whole
            yield from (p for p in owner.parameters(below) if not p.requires_grad)
            yield from owner.buffers(below)


def _choose_points(cut: Cut, run: Run, inputs: Inputs) -> None:
    """Remember what the rest of the pass depends on, as autograd knows, and what is no float."""
    leaves: dict[int, Row] = {}
    alive = []

    def leaf(row: Row, tensor: Tensor) -> Tensor:
        if not row.dtype.is_floating_point:
            cut.points[row.name] = row
            return tensor
        made = tensor.detach().requires_grad_()
        leaves[id(made)] = row
        alive.append(made)
        return made.clone()  # it may be changed in place

    def handle(calls: Calls, path: str, number: int, forward: Forward, *given: Any) -> Any:
        if answer := cut.answers.get((path, number)):
            with torch.no_grad():
                detached = pytree.tree_map_only(Tensor, Tensor.detach, given)
                found = iter(tensors(calls.unseen(forward, *detached)))
            return answer.put(lambda row: leaf(row, next(found)))
        if (path, number) == cut.into:
            arguments = tensors(given)
            given = _replaced(given, {n: leaf(r, arguments[n]) for n, r in cut.into_rows.items()})
        return forward(*given[0], **given[1])

    with Calls(handle).of(cut.modules), torch.enable_grad():
        if cut.input and isinstance(inputs, Tensor):
            inputs = leaf(cut.input, inputs)
        outputs = run(inputs)
    used = {id(variable) for variable in _leaves_of(tensors(outputs))}
    cut.points |= {row.name: row for made, row in leaves.items() if made in used}


def _leaves_of(outputs: Iterable[Tensor]) -> Iterator[Tensor]:
    """The leaves of autograd's graph that these depend on."""
    todo = [x.grad_fn for x in outputs if x.grad_fn is not None]
    seen = set(todo)
    while todo:
        node = todo.pop()
        if (variable := getattr(node, "variable", None)) is not None:
            yield variable
        news = {before for before, _ in node.next_functions if before is not None} - seen
        seen |= news
        todo += news


def _replaced(given: Any, by_position: Mapping[int, Tensor]) -> Any:
    """Arguments with some of their tensors, counted in order, replaced."""
    leaves, spec = pytree.tree_flatten(given)
    places = [n for n, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    for position, tensor in by_position.items():
        leaves[places[position]] = tensor
    return pytree.tree_unflatten(leaves, spec)


def _check(cut: Cut, run: Run, inputs: Inputs, whole: Any) -> None:
    """Raises `Unfit` where the cut pass does not give what the whole one did."""
    named = inputs if isinstance(inputs, dict) else {}
    try:
        played = cut.play(run, {**named, **cut.record(run, inputs)})
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
        if is_out_of_memory(error):
            raise
        raise Unfit(f"the model can't go on from there ({plain(error, 100)})") from error
    if not all(map(torch.equal, tensors(played), tensors(whole))):
        raise Unfit("the model does not come to the same from there")


def _share(cut: Cut, run: Run, inputs: Inputs) -> float:
    with FlopCounterMode(display=False) as before:
        cut.record(run, inputs)
    with FlopCounterMode(display=False) as whole:
        run(inputs)
    return float(before.get_total_flops() / max(1, whole.get_total_flops()))


@contextmanager
def _untouched(module: nn.Module, device: Device) -> Iterator[Callable[[], None]]:
    """Gives what puts generators and statistics back to how they are now; so it is at the end."""
    generators = device.rng_state()
    training = (x for x in module.modules() if x.training)
    statistics = [(b, b.clone()) for x in training for b in x.buffers(recurse=False)]

    def reset() -> None:
        device.set_rng_state(generators)
        with torch.no_grad():
            for buffer, value in statistics:
                buffer.copy_(value)

    try:
        yield reset
    finally:
        reset()
