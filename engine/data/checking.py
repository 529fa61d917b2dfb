"""Which pictures can be read, by their headers."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine.contract.text import plain
from engine.data import picture

_THREADS = 8
_BATCH = 2000


def reasons(paths: Sequence[Path], where: Path, tell: Callable[[str], None]) -> Iterator[str]:
    """Of each picture why it can't be used, or ""; `tell` hears how many were looked at."""
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(paths), _BATCH):
            if start:
                tell(f"checked {start:,} of {len(paths):,} pictures of {plain(where)}")
            yield from pool.map(_reason_to_skip, paths[start : start + _BATCH])


def _reason_to_skip(path: Path) -> str:
    if path.suffix.lower() in picture.UNREADABLE_SUFFIXES:
        return f"{path.suffix.lower()} can't be read; convert it to JPEG or PNG"
    try:
        picture.check(path)
    except picture.Unreadable as error:
        return error.reason
    return ""
