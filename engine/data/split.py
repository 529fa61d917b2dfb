"""Holding out a share of each class, the same share every time."""

import hashlib
from collections.abc import Iterable

VAL_NAMES = ("val", "valid", "validation")
"""What the held-out part of a data set is called, beside `train`."""


def split(names: Iterable[str], val_fraction: float, seed: int) -> tuple[list[str], list[str]]:
    """`names` of one class as (train, val), each in sorted order.

    Depends on the set of names and the seed only. Val gets `val_fraction` of them, rounded, but
    two names or more leave at least one on either side; a single name is trained on. Names are
    ranked by a hash, so that adding a picture moves hardly any other to the other side.
    """
    ranked = sorted(names, key=lambda name: _rank(name, seed))
    held_out = max(1, min(len(ranked) - 1, round(len(ranked) * val_fraction)))
    if len(ranked) < 2:
        held_out = 0
    return sorted(ranked[held_out:]), sorted(ranked[:held_out])


def _rank(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest()
