"""How fast the processor computes, measured on the kinds of operations of a step."""

import os
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import platformdirs
import torch
from torch.nn import functional as F

from engine.cost.ledger import Amount, Work

_SECONDS = 0.08
"""That each kind is tried for; its fastest try counts, as others may be at work here, too."""
_CALL = 10e-6
"""Seconds that Python and torch take for a call, whatever it computes."""

aten = torch.ops.aten
Rates = dict[str, float]
"""Operations a second of what multiplies, bytes a second of the rest, by kind; what is otherwise in
the backward pass has a kind of its own, with "backward " before it."""


class _Known(msgspec.Struct):
    key: str
    rates: Rates


@cache
def rates(dtype: torch.dtype, folder: Path | None = None) -> Rates:
    """Those of this processor and of torch's threads: the best that were ever measured, as others
    may be at work while it is done; once a process."""
    path = (folder or platformdirs.user_cache_path("ftui")) / "rates.json"
    key = f"{platform.node()} {torch.__version__} {torch.get_num_threads()} {dtype}"
    found = measure(dtype)
    with suppress(OSError, ValueError):
        known = msgspec.json.decode(path.read_bytes(), type=_Known)
        if known.key == key:
            found = {kind: max(rate, known.rates.get(kind, 0)) for kind, rate in found.items()}
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_bytes(msgspec.json.encode(_Known(key, found)))
        temporary.replace(path)
    return found


def measure(dtype: torch.dtype) -> Rates:
    """By trying each kind; takes about a second."""
    with torch.no_grad():
        return {name: amount / _fastest(run) for name, (amount, run) in samples(dtype).items()}


def seconds(work: Mapping[Work, Amount], known: Rates) -> float:
    """That these operations take."""
    total = 0.0
    for (kind, backward, _), (calls, flops, moved) in work.items():
        own = known.get(f"backward {kind}") if backward else None
        total += calls * _CALL + (flops or moved) / (own or known[kind])
    return total


class _Sample(NamedTuple):
    amount: float
    """Operations or bytes, as a ledger counts them."""
    run: Callable[[], object]


def samples(dtype: torch.dtype) -> dict[str, _Sample]:
    """What is tried, by kind; sizes are those of the middle of common networks."""
    square = torch.ones(768, 768, dtype=dtype)
    heads = torch.ones(2, 12, 128, 64, dtype=dtype)
    maps = torch.ones(8, 64, 56, 56)
    flat = torch.ones(2**21)
    vector = torch.ones(64)
    found = {
        "matrix": _Sample(2 * 256 * 768**2, lambda: square[:256] @ square),
        "attention": _Sample(
            4 * 2 * 12 * 128**2 * 64, lambda: F.scaled_dot_product_attention(heads, heads, heads)
        ),
        "elementwise": _Sample(3 * flat.nbytes, lambda: flat + flat),
        "curve": _Sample(2 * flat.nbytes, lambda: F.gelu(flat)),
        "random": _Sample(2 * flat.nbytes, lambda: flat.clone().bernoulli_(0.9)),
        "norm": _Sample(
            2 * maps.nbytes,
            lambda: aten.native_batch_norm(maps, vector, vector, None, None, True, 0.1, 1e-5),
        ),
    }
    for kind, inputs, outputs, side, groups in (
        ("convolution", 128, 128, 3, 1),
        ("pointwise", 256, 128, 1, 1),
        ("depthwise", 128, 128, 3, 128),
    ):
        found |= _convolutions(kind, inputs, outputs, side, groups, dtype)
    return found


def _convolutions(
    kind: str, inputs: int, outputs: int, side: int, groups: int, dtype: torch.dtype
) -> dict[str, _Sample]:
    x, weight = (
        torch.ones(4, inputs, 28, 28, dtype=dtype),
        torch.ones(outputs, inputs // groups, side, side, dtype=dtype),
    )
    asked = [1, 1], [side // 2] * 2, [1, 1], False, [0, 0], groups
    made = aten.convolution(x, weight, None, *asked)
    flops = 2 * made.numel() * weight[0].numel()
    return {
        kind: _Sample(flops, lambda: aten.convolution(x, weight, None, *asked)),
        f"backward {kind}": _Sample(
            2 * flops,
            lambda: aten.convolution_backward(made, x, weight, None, *asked, [True, True, False]),
        ),
    }


def _fastest(run: Callable[[], object]) -> float:
    """Seconds: by the clock, or where others keep the processor from us, of our own time."""
    run()
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < _SECONDS:
        wall, own = time.perf_counter(), time.process_time()
        run()
        best = min(best, time.perf_counter() - wall, time.process_time() - own)
    return best
