"""The calls of modules in a forward pass: watched, or answered by other code."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

Forward = Callable[..., Any]
Handle = Callable[["Calls", str, int, Forward, Any, Any], Any]
"""What is done in place of a call: the module's path, how many of its calls came before, its own
forward, and the arguments by position and by name."""
_PLAIN = (type(None), bool, int, float, str)


class Calls:
    """Stands between modules and their forward passes."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._counts: Counter[str] = Counter()
        self._quiet = False

    def unseen(self, forward: Forward, args: Any, kwargs: Any) -> Any:
        """Run a forward pass whose own calls are neither handled nor counted."""
        self._quiet = True
        try:
            return forward(*args, **kwargs)
        finally:
            self._quiet = False

    @contextmanager
    def of(self, modules: Mapping[str, nn.Module]) -> Iterator[None]:
        """Handle the calls of these modules, by path, for a while."""
        before = {path: vars(module).get("forward") for path, module in modules.items()}
        for path, module in modules.items():
            vars(module)["forward"] = partial(self._call, path, module.forward)
        try:
            yield
        finally:
            for path, module in modules.items():
                if (own := before[path]) is None:
                    del vars(module)["forward"]
                else:
                    vars(module)["forward"] = own

    def _call(self, path: str, forward: Forward, *args: Any, **kwargs: Any) -> Any:
        if self._quiet:
            return forward(*args, **kwargs)
        number = self._counts[path]
        self._counts[path] += 1
        return self._handle(self, path, number, forward, args, kwargs)


@dataclass(eq=False)
class Call:
    """A call that was watched."""

    path: str
    inputs: list[Tensor]
    output: Any = None
    fixed: bool = False
    """Whether it was over before anything came that trains, draws or keeps statistics."""
    whole: bool = False
    """Whether it may be answered: it is fixed, and all tensors that it gives are a row a sample."""
    parts: list["Call"] = field(default_factory=list)
    """The calls within it; of a whole one they are dropped."""


@dataclass
class Trace:
    """A forward pass up to the first call that is not fixed, the calls around that one included."""

    root: Call
    end: Call | None
    """That call; None where it is not known what came first, a call or something around it."""
    outputs: Any

    def answered(self) -> list[Call]:
        """The outermost whole calls, in their order."""
        return [call for call in self._outermost(self.root) if call.whole]

    def numbered(self) -> dict[Call, int]:
        """How many calls of the same module came before, those within whole ones left out."""
        counts: Counter[str] = Counter()
        numbers = {}
        for call in self._outermost(self.root):
            numbers[call] = counts[call.path]
            counts[call.path] += 1
        return numbers

    def _outermost(self, call: Call) -> Iterator[Call]:
        yield call
        for part in () if call.whole else call.parts:
            yield from self._outermost(part)


def tensors(tree: Any) -> list[Tensor]:
    """All tensors of nested tuples, lists, dicts and outputs of Transformers, in order."""
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def trace(
    module: nn.Module,
    run: Callable[[], Any],
    rows: int,
    generators: Callable[[], Mapping[str, Tensor]],
) -> Trace:
    """Watch `run`, a forward pass of `module` over so many samples with gradients.

    What comes first ends the fixed beginning: a call whose output depends on something that
    trains, as autograd knows; one that draws from the generators, whose states `generators` gives;
    or one that keeps statistics. It is an order in time, so that nothing fixed can depend on what
    comes later, whichever way.
    """
    watcher = _Watcher(dict(module.named_modules()), rows, generators)
    with Calls(watcher.watch).of(watcher.modules):
        outputs = run()
    return Trace(watcher.top.parts[0], watcher.end, outputs)


class _Watcher:
    def __init__(
        self,
        modules: dict[str, nn.Module],
        rows: int,
        generators: Callable[[], Mapping[str, Tensor]],
    ) -> None:
        self.modules, self._rows, self._generators = modules, rows, generators
        self._at_start: Mapping[str, Tensor] | None = None
        self.top = Call("", [])
        self._around = [self.top]
        self._over = False
        self.end: Call | None = None

    def watch(self, _: Calls, path: str, __: int, forward: Forward, args: Any, kwargs: Any) -> Any:
        if not self._over and self._drawn():
            self._over = True  # by what is around this call, not by a call
        if self._over:
            return forward(*args, **kwargs)
        call = Call(path, tensors((args, kwargs)))
        self._around[-1].parts.append(call)
        self._around.append(call)
        output = forward(*args, **kwargs)
        self._around.pop()
        if not self._over:
            call.output = output
            self._judge(call)
        return output

    def _judge(self, call: Call) -> None:
        module = self.modules[call.path]
        keeps = module.training and any(True for _ in module.buffers(recurse=False))
        if keeps or self._drawn() or any(x.requires_grad for x in tensors(call.output)):
            self._over, self.end = True, call
            return
        call.inputs.clear()
        leaves = pytree.tree_leaves(call.output)
        given = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        call.fixed = True
        call.whole = (
            bool(given)
            and all(isinstance(leaf, (Tensor, *_PLAIN)) for leaf in leaves)
            and all(x.ndim > 0 and len(x) == self._rows for x in given)
        )
        if call.whole:
            call.parts.clear()

    def _drawn(self) -> bool:
        now = self._generators()
        self._at_start = self._at_start or now
        return not all(torch.equal(now[kind], state) for kind, state in self._at_start.items())
