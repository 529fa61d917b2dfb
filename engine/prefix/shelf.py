"""What was computed of a batch, kept on the disk for other runs.

    <cache folder>/prefix/<key>/<digest of the inputs>.safetensors

A key says by which frozen part on which machine, a digest of what. So nothing needs to be known of
where the data came from, and a file that has changed is never taken for what it was. `FTUI_CACHE`
names another folder; "off" keeps nothing.
"""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import platformdirs
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.contract.text import plain
from engine.data.batch import Inputs
from engine.prefix.keys import of_inputs

VARIABLE = "FTUI_CACHE"
_OFF = "off"
_SUFFIX = ".safetensors"
_DIGEST = "blake2b"
_LIMIT = 20 * 2**30
"""Bytes of all that is kept; what was not used for the longest time goes first."""
_PART = 0.1
"""Of the room on the disk that may be taken."""


class Shelf:
    """The batches under one key. Whatever the disk refuses is computed as if it had not been;
    `problem` says in a sentence that it refuses all."""

    def __init__(self, key: bytes | None) -> None:
        """Without a key nothing is kept."""
        self._folder: Path | None = None
        asked = os.environ.get(VARIABLE, "")
        if key and asked != _OFF:
            base = Path(asked) if asked else platformdirs.user_cache_path("ftui")
            self._folder = base / "prefix" / key.hex()
        self._room, self.problem = 0, ""
        try:
            self._room = self._make_room()
        except OSError as error:
            where = plain(error.filename or self._folder)
            self.problem = (
                f"What is frozen can't be kept for other runs: {where} can't be used "
                f"({error.strerror}). {VARIABLE} names another folder, or is off."
            )

    def digest(self, inputs: Inputs) -> str:
        """What `get` and `put` know a batch by; empty where nothing is kept."""
        return of_inputs(inputs) if self._folder else ""

    def get(self, digest: str) -> dict[str, Tensor] | None:
        """What was kept of the inputs with that digest."""
        if self._folder is None:
            return None
        with suppress(OSError, SafetensorError):
            with safe_open(self._folder / f"{digest}{_SUFFIX}", "pt") as file:
                rows = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                told = (file.metadata() or {}).get(_DIGEST)
            os.utime(self._folder)
            return rows if told == of_inputs(rows) else None
        return None

    def put(self, digest: str, rows: Mapping[str, Tensor]) -> None:
        """Keep what was computed, where there is room."""
        size = sum(tensor.nbytes for tensor in rows.values())
        if self._folder is None or size > self._room:
            return
        partial = self._folder / f"{digest}.{os.getpid()}"
        with suppress(OSError, SafetensorError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            kept = {name: tensor.contiguous() for name, tensor in rows.items()}
            save_file(kept, partial, {_DIGEST: of_inputs(kept)})
            partial.rename(partial.with_suffix(_SUFFIX))
            self._room -= size

    def _make_room(self) -> int:
        """Remove the oldest of the other keys where all of them are too large; returns what room
        there is. Raises `OSError`."""
        if self._folder is None:
            return 0
        self._folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        free = shutil.disk_usage(self._folder.parent).free
        sizes = {key: _size(key) for key in self._folder.parent.iterdir() if key.is_dir()}
        taken = sum(sizes.values())
        limit = min(_LIMIT, int(_PART * (free + taken)))
        for key in sorted(sizes, key=lambda path: path.stat().st_mtime):
            if taken <= limit / 2:
                break
            if key != self._folder:
                shutil.rmtree(key, ignore_errors=True)
                taken -= sizes[key]
        return limit - taken


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
