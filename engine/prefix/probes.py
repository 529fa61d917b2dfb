"""Two batches that could come, with samples in common: what a cut is looked for with."""

from collections.abc import Iterable
from operator import itemgetter

import torch

from engine.data.batch import Batch, Inputs, on_each

_MASK = "attention_mask"
"""Among inputs: 1 for each token of a text, then 0 for what fills it up."""
_SAMPLES = 3


def probes(batches: Iterable[Batch]) -> tuple[Inputs, Inputs] | None:
    """Three samples, and the last two of them alone; None where there are none.

    Of texts the first is longer than the others, which are alone without padding. That is what may
    come: a text beside other ones, filled up to other lengths, and whole. Where no batch has texts
    of two lengths, a length is a size as any other.
    """
    first = None
    for batch in batches:
        if len(batch) == 0 or not batch.numbers:
            continue
        inputs = batch.inputs
        if first is None:
            some = torch.arange(_SAMPLES) % len(batch)
            first = on_each(inputs, itemgetter(some))
        if isinstance(inputs, torch.Tensor) or _MASK not in inputs:
            break
        lengths = inputs[_MASK].sum(1)
        shortest = int(lengths.min())
        if shortest < lengths.max():
            some = torch.stack([lengths.argmax(), *[lengths.argmin()] * 2])
            either = {name: x[some] for name, x in inputs.items()}
            return either, {name: x[1:, :shortest] for name, x in either.items()}
    return None if first is None else (first, on_each(first, itemgetter(slice(1, None))))
