"""Operations and live memory, counted while a model runs on tensors that have no memory."""

import weakref
from collections.abc import Iterable
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

aten = torch.ops.aten
_FREE = {torch.ops.prim.device.default, aten.detach.default}
"""Asked for all the time; they compute nothing and hold nothing new."""
_KINDS = {
    aten.native_batch_norm: "norm",
    aten.native_batch_norm_backward: "norm",
    aten.native_layer_norm: "norm",
    aten.native_layer_norm_backward: "norm",
    aten.gelu: "curve",
    aten.gelu_backward: "curve",
    aten.tanh: "curve",
    aten.pow: "curve",
    aten._softmax: "curve",
    aten._log_softmax: "curve",
    aten.bernoulli_: "random",
    aten.native_dropout: "random",
}
"""Of operations whose time goes with the bytes that they read and write."""


_NOTHING = MappingProxyType[str, Any]({})


class Work(NamedTuple):
    """What operations are of one kind, in one part of the step."""

    kind: str
    """As `engine.cost.rates` has measured them."""
    backward: bool
    prefix: bool
    """Whether they depend on nothing that trains."""


class Amount(NamedTuple):
    """How much there is of it."""

    calls: int = 0
    flops: int = 0
    moved: int = 0
    """Bytes read and written."""

    def plus(self, flops: int, moved: int) -> "Amount":
        """With one call more."""
        return Amount(self.calls + 1, self.flops + flops, self.moved + moved)


class Ledger:
    """Bytes of the storages that are alive, and what was computed."""

    def __init__(self) -> None:
        self.now = 0
        self.peak = 0
        self.backward = False
        """Whether what comes is of the backward pass."""
        self.work: dict[Work, Amount] = {}
        self._live: dict[int, tuple[int, weakref.ref[Any]]] = {}
        self._trains: set[int] = set()

    def hold(self, tensors: Iterable[Tensor], trains: bool = False) -> int:
        """Count these from now on until they are gone; bytes that are new."""
        before = self.now
        for tensor in tensors:
            key = self._key(tensor)
            if trains:
                self._trains.add(key)
        return self.now - before

    def take(self, func: Any, args: Any, kwargs: dict[str, Any], out: Any) -> None:
        """Count an operation."""
        inputs, outputs = tensors((args, kwargs)), tensors(out)
        given = {self._key(x) for x in inputs}
        made = [self._key(x) for x in outputs]
        trains = not given.isdisjoint(self._trains)
        if trains:
            self._trains.update(made)
        if not func._schema.is_mutable and given.issuperset(made):
            return  # a view
        kind, flops = _measure(func, args, kwargs, out)
        moved = sum(x.numel() * x.itemsize for x in (*inputs, *outputs))
        work = Work(kind, self.backward, not trains)
        self.work[work] = self.work.get(work, Amount()).plus(flops, moved)

    def _key(self, tensor: Tensor) -> int:
        storage = tensor.untyped_storage()
        key: int = storage._cdata
        if key not in self._live:
            size = storage.nbytes()
            self._live[key] = size, weakref.ref(storage, lambda _: self._gone(key))
            self.now += size
            self.peak = max(self.peak, self.now)
        return key

    def _gone(self, key: int) -> None:
        self.now -= self._live.pop(key)[0]
        self._trains.discard(key)


class Watched(FakeTensorMode):  # type: ignore[no-untyped-call]
    """Tensors without memory, whose operations a ledger sees."""

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True)
        self.ledger: Ledger | None = None
        self._inside = False

    def dispatch(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = MappingProxyType({})
    ) -> Any:
        if self.ledger is None or self._inside or func in _FREE:
            return super().dispatch(func, types, args, kwargs)
        self._inside = True  # what it decomposes into is not counted again
        try:
            out = super().dispatch(func, types, args, kwargs)
        finally:
            self._inside = False
        self.ledger.take(func, args, kwargs, out)
        return out


def _measure(func: Any, args: Any, kwargs: dict[str, Any], out: Any) -> tuple[str, int]:
    """Which kind an operation is of, and its floating-point operations where those decide."""
    packet = func._overloadpacket
    if packet is aten._scaled_dot_product_flash_attention_for_cpu:
        shapes = (x.shape for x in args[:3])
        return "attention", sdpa_flop_count(*shapes)  # type: ignore[no-untyped-call]
    if packet is aten._scaled_dot_product_flash_attention_for_cpu_backward:
        shapes = (x.shape for x in args[:4])
        return "attention", sdpa_backward_flop_count(*shapes)  # type: ignore[no-untyped-call]
    if packet is aten.convolution_backward:  # torch's own formula counts groups several times
        made, inputs, weight = args[:3]
        transposed, wanted = args[7], args[10]
        once = 2 * (inputs if transposed else made).numel() * weight[0].numel()
        return convolution_kind(weight), once * sum(wanted[:2])
    if packet not in flop_registry:
        return _KINDS.get(packet, "elementwise"), 0
    flops = int(flop_registry[packet](*args, **kwargs, out_val=out))
    return (convolution_kind(args[1]) if packet is aten.convolution else "matrix"), flops


def convolution_kind(weight: Tensor) -> str:
    """Convolutions of a like speed."""
    if weight.shape[1] == 1 and weight.shape[0] > 1:
        return "depthwise"
    return "pointwise" if weight.shape[2:].numel() == 1 else "convolution"


def tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]
