"""Paths as a person writes them."""

import os
from pathlib import Path


def expand(path: str | Path) -> Path:
    """`path` with a leading ~ or ~user replaced; one of an unknown user stays as it is.

    `Path.expanduser` raises for those, and what is not there is better told as such.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111
