"""Tensors written to the disk: a disk that refuses is always an `OSError`, a file always whole."""

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from engine.checkpoint import sync
from engine.contract.text import plain

_FULL = 16 * 1024 * 1024
"""Bytes that are free at most where a write that failed has filled the disk."""


@contextmanager
def refusals(folder: Path) -> Iterator[None]:
    """Within, safetensors and torch report as `OSError` that the disk of `folder` refuses."""
    try:
        yield
    except (SafetensorError, RuntimeError) as error:  # how the two do it
        full = shutil.disk_usage(folder).free < _FULL
        raise OSError(None, os.strerror(errno.ENOSPC) if full else plain(error)) from error


def save_whole(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file that is whole and on the disk, or as it was. Raises `OSError`."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with refusals(path.parent):
            safetensors.torch.save_file(dict(tensors), partial, metadata)
        sync(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync(path.parent)
