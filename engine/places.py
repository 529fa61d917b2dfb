"""Paths that a config names, looked up on the disk: no torch."""

from pathlib import Path

from engine.contract.paths import expand
from engine.contract.text import did_you_mean, plain

TORCHVISION = "torchvision/"
"""What the name of one of torchvision's data sets begins with, in `data.path`."""


def known_set(path: str) -> str:
    """The name behind torchvision/ in `data.path`, or "" where a folder of that name is there."""
    is_name = path.startswith(TORCHVISION) and not expand(path).exists()
    return path.removeprefix(TORCHVISION) if is_name else ""


def similar(path: Path) -> str:
    """The tail of a sentence on a path that is not there, as of `did_you_mean`: what lies beside it
    under a similar name."""
    try:
        beside = [plain(entry.name) for entry in path.parent.iterdir()]
    except OSError:
        beside = []
    return did_you_mean(path.name, beside)
