"""Shares drawn as text."""

import math
from collections.abc import Sequence

_SPARKS = "▁▂▃▄▅▆▇█"


def bar_text(share: float, width: int, ascii_only: bool = False) -> tuple[str, str]:
    """A bar of `width` cells as its filled and its empty part."""
    full, empty = ("#", "-") if ascii_only else ("━", "─")
    filled = math.floor(min(1.0, max(0.0, share)) * width)
    return full * filled, empty * (width - filled)


def spark_text(shares: Sequence[float], ascii_only: bool = False) -> str:
    """A cell a value of 0 to 1: a block of that height, or a digit of tenths."""
    signs = "0123456789" if ascii_only else _SPARKS
    top = len(signs) - 1
    return "".join(signs[min(top, max(0, round(share * top)))] for share in shares)
