"""The cores of this computer."""

import os
import sys


def usable() -> list[int]:
    """Numbers of those that this process may run on, ascending."""
    if sys.platform == "linux":
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
