"""Where the frozen beginning of a model ends: places to cut, tried out and checked."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode

from engine.contract.text import plain
from engine.data.batch import Inputs
from engine.device import Device
from engine.oom import is_out_of_memory
from engine.prefix.apart import ROUNDING, check_apart
from engine.prefix.calls import Calls, Forward, Trace, tensors, trace
from engine.prefix.cut import (
    BATCH,
    LENGTH,
    MARK,
    NOTHING,
    WORTH,
    Answer,
    Cut,
    Place,
    Row,
    Run,
    Sizes,
    Unfit,
    replaced,
)
from engine.untouched import untouched

Recorded = Mapping[str, Tensor]
"""What is remembered of a batch, by the names of the cut's points."""


def find(module: nn.Module, run: Run, probes: Sequence[Inputs], device: Device) -> Cut:
    """The cut of `module` as it is now: what trains, in which modes.

    `probes` are two batches, three samples at least in the first and the last of them in the
    second, less padded where they are texts. Of two places to cut, behind the last frozen module or
    right before what is not frozen, it is that which needs less memory. What it gives is compared
    with the whole pass, bit for bit, and what it remembers of a sample in one batch must serve in
    the other. Weights, buffers and generators are left as they were. Raises `Unfit` where there is
    none, or not worth it.
    """
    with untouched(module, device) as reset:

        def anew(inputs: Inputs) -> Any:
            reset()
            return run(inputs)

        def watch(inputs: Inputs) -> Trace:
            return trace(module, lambda: anew(inputs), Sizes.of(inputs)[0], device.rng_state)

        traces = [watch(inputs) for inputs in probes]
        cuts = list(_candidates(module, traces, probes))
        for cut in cuts:
            _choose_points(cut, anew, probes[0], traces[0])
        cuts = [cut for cut in cuts if cut.points]
        if not cuts:
            raise Unfit(NOTHING)
        outputs = [seen.outputs for seen in traces]
        best, recorded = _first_that_works(cuts, anew, probes, outputs, device)
        with device.autocast():
            best.share = _share(best, anew, probes[1], recorded[1])
    if best.share < WORTH:
        before = f" lies before {traces[0].end.path}" if traces[0].end else ""
        raise Unfit(f"only {best.share:.1%} of a forward pass{before}")
    return best


def _first_that_works(
    cuts: list[Cut], run: Run, probes: Sequence[Inputs], outputs: Sequence[Any], device: Device
) -> tuple[Cut, Sequence[Recorded]]:
    """The smallest first, and the quickest to go on from, with what it remembers of `probes`;
    `outputs` are what the whole passes give. Raises `Unfit` where none does."""
    cuts.sort(key=lambda cut: (cut.size(Sizes.of(probes[0]).length), not cut.last))
    for cut in cuts:
        try:
            with device.autocast(), _going_on():
                recorded = [cut.record(run, inputs) for inputs in probes]
                for inputs, rows, whole in zip(probes, recorded, outputs, strict=True):
                    _check(cut, run, inputs, rows, whole)
                check_apart(cut, run, probes, recorded, outputs, ROUNDING[device.precision])
        except Unfit:
            if cut is cuts[-1]:
                raise
        else:
            return cut, recorded
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
        last = len(rows) == len(one.end.inputs) == 1 and one.end.output is one.outputs
        places = [*answers, into]
        yield Cut(_of(modules, places), answers, into, rows, last, source, fixed=fixed)


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
    shape = [BATCH]
    for a, b in zip(x.shape[1:], y.shape[1:], strict=True):
        if a != b and (a, b) != (sizes[0].length, sizes[1].length):
            return None
        shape.append(a if a == b else LENGTH)
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


def _choose_points(cut: Cut, run: Run, inputs: Inputs, seen: Trace) -> None:
    """Remember what the rest of the pass depends on, as autograd knows, and what is no float.

    Calls give what they gave in `seen`, perhaps changed in place since: only what depends on it
    matters here.
    """
    numbers = seen.numbered()
    gave = {(call.path, numbers[call]): call.output for call in seen.answered()}
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

    def handle(_: Calls, path: str, number: int, forward: Forward, *given: Any) -> Any:
        if answer := cut.answers.get((path, number)):
            found = iter(tensors(gave[path, number]))
            return answer.put(lambda row: leaf(row, next(found)))
        if (path, number) == cut.into:
            arguments = tensors(given)
            given = replaced(given, {n: leaf(r, arguments[n]) for n, r in cut.into_rows.items()})
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


def _check(cut: Cut, run: Run, inputs: Inputs, rows: Recorded, whole: Any) -> None:
    """Raises `Unfit` where the cut pass does not give what the whole one did."""
    played, given = tensors(_played(cut, run, inputs, rows)), tensors(whole)
    if len(played) != len(given) or not all(map(torch.equal, played, given)):
        raise Unfit("the model does not come to the same from there")


def _played(cut: Cut, run: Run, inputs: Inputs, rows: Recorded) -> Any:
    """What the cut pass gives; `rows` stay as they are, whatever it does in place."""
    named = inputs if isinstance(inputs, dict) else {}
    return cut.play(run, {**named, **{name: x.clone() for name, x in rows.items()}})


@contextmanager
def _going_on() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
        if is_out_of_memory(error):
            raise
        raise Unfit(f"the model can't go on from there ({plain(error, 100)})") from error


def _share(cut: Cut, run: Run, inputs: Inputs, rows: Recorded) -> float:
    with FlopCounterMode(display=False) as behind:
        _played(cut, run, inputs, rows)
    with FlopCounterMode(display=False) as whole:
        run(inputs)
    total = whole.get_total_flops()
    return 1 - behind.get_total_flops() / total if total else 0.0
