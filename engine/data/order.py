"""Which pictures an epoch shows, and in which order: functions of a seed alone.

An order is a list of draws. A draw is the position of a picture, plus the number of pictures for
each time that the epoch has drawn it before: the draws of an epoch are all different, so that a
picture that comes again is augmented anew.
"""

import numpy as np
import torch
from numpy.typing import NDArray


def shuffled(count: int, seed: int) -> list[int]:
    """Each of `count` pictures once."""
    generator = torch.Generator().manual_seed(seed)
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return order


def balanced(labels: NDArray[np.int64], seed: int) -> list[int]:
    """As many draws as `labels`, with replacement: first a class, each equally likely, then one of
    its pictures."""
    of_class = np.argsort(labels, kind="stable")
    _, starts, sizes = np.unique(np.sort(labels), return_index=True, return_counts=True)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(sizes), (len(labels),), generator=generator).numpy()
    shares = torch.rand(len(labels), dtype=torch.float64, generator=generator).numpy()
    positions = of_class[starts[drawn] + (shares * sizes[drawn]).astype(np.int64)]
    draws: list[int] = (positions + len(labels) * _times_before(positions)).tolist()
    return draws


def uniform(count: int, below: int, seed: int) -> list[int]:
    """So many numbers from 0, each equally likely."""
    generator = torch.Generator().manual_seed(seed)
    drawn: list[int] = torch.randint(below, (count,), generator=generator).tolist()
    return drawn


def _times_before(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each value stands before itself."""
    by_value = np.argsort(values, kind="stable")
    ordered = values[by_value]
    times = np.empty_like(values)
    times[by_value] = np.arange(len(values)) - np.searchsorted(ordered, ordered)
    return times
