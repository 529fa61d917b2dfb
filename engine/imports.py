"""Imports that don't look for garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """For imports of thousands of modules: a seventh of their time went into looking for garbage,
    of which they make none. What the first ones have made is not looked at later either; of later
    ones it may be what is no longer needed, such as the session of before."""
    gc.disable()
    try:
        yield
    finally:
        if gc.get_freeze_count() == 0:
            gc.freeze()
        gc.enable()
