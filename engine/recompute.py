"""Activation checkpointing: what is inside a block is computed once more in the backward pass.

Chen et al. 2016, arXiv:1604.06174, as `torch.utils.checkpoint` does it. Blocks are those that
`last:K` counts, so that it is the same for every library of models.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from engine.contract.depth import repeated_blocks
from engine.contract.errors import UserError
from engine.contract.text import plain
from engine.contract.tree import ModelInfo
from engine.prefix.calls import Calls, Forward


def blocks(info: ModelInfo, module: nn.Module) -> dict[str, nn.Module]:
    """The blocks of a model, by path. Raises `UserError` where it has none that hold layers."""
    found = {path: module.get_submodule(path) for path in repeated_blocks(info)}
    found = {path: block for path, block in found.items() if any(True for _ in block.children())}
    if not found:
        raise UserError(
            f"training.recompute: {plain(info.name)} has no blocks that repeat; set it to false."
        )
    return found


@contextmanager
def recomputed(blocks: Mapping[str, nn.Module]) -> Iterator[None]:
    """Forward passes within keep what goes into these blocks, and nothing from inside them."""

    def run(_: Calls, path: str, __: int, forward: Forward, args: Any, kwargs: Any) -> Any:
        around = partial(_around, blocks[path])
        return checkpoint(forward, *args, use_reentrant=False, context_fn=around, **kwargs)

    with Calls(run).of(blocks):
        yield


def _around(
    block: nn.Module,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Of the first pass and of the second one, which begins with the statistics of before the first
    and leaves them as they are after it: BatchNorm must count a batch once."""
    keepers = [x for x in block.modules() if x.training and x._buffers]
    before = [
        {name: b if b is None else b.clone() for name, b in x._buffers.items()} for x in keepers
    ]
    return nullcontext(), _lent(list(zip(keepers, before, strict=True)))


@contextmanager
def _lent(buffers: list[tuple[nn.Module, dict[str, Any]]]) -> Iterator[None]:
    own = [dict(keeper._buffers) for keeper, _ in buffers]
    for keeper, others in buffers:
        keeper._buffers.update(others)
    try:
        yield
    finally:
        for (keeper, _), tensors in zip(buffers, own, strict=True):
            keeper._buffers.update(tensors)
