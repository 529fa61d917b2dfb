"""One file from the web into a cache folder, whole and checked or not at all."""

import contextlib
import hashlib
import http.client
import uuid
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.request import Request, urlopen

from engine.contract.errors import UserError
from engine.contract.text import plain
from engine.models.source import Tell

_TIMEOUT = 15.0  # seconds without a byte
_CHUNK = 1 << 18  # bytes
_TOLD_EVERY = 0.1  # share of the file


class UnreachableError(Exception):
    """The file could not be had; the text is the reason, in a few words."""


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...


def download(url: str, path: Path, sha256_start: str | None, tell: Tell) -> None:
    """The content of `url` at `path`, by way of a .partial file beside it.

    sha256_start: how the file's SHA-256 begins, in hex; None checks nothing.
    Raises `UnreachableError` where the network or the disk fails, `UserError` where the file that
    came is not the one expected; `path` then does not exist.
    """
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    digest = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            _fetch(url, file, digest, tell)
        if sha256_start and not digest.hexdigest().startswith(sha256_start):
            raise UserError(
                f"What came from {plain(url)} is not the file it should be (its SHA-256 does not "
                f"begin with {sha256_start}); a proxy may have answered instead."
            )
        partial.replace(path)
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(reason_of(error)) from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def reason_of(error: Exception) -> str:
    """Why a download failed, in a few words: urllib wraps the system's own."""
    cause = getattr(error, "reason", None) or error
    return plain(getattr(cause, "strerror", None) or cause, 120)


def _fetch(url: str, file: BinaryIO, digest: _Hash, tell: Tell) -> None:
    name = url.rpartition("/")[2]
    request = Request(url, headers={"User-Agent": "ftui"})
    with urlopen(request, timeout=_TIMEOUT) as answer:
        size = int(answer.headers.get("Content-Length") or 0)
        of_size = f" of {size / 1e6:.0f} MB" if size else ""
        read, told = 0, -1.0
        while chunk := answer.read(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            read += len(chunk)
            if size and read / size - told >= _TOLD_EVERY:
                told = read / size
                tell(f"downloading {name}, {told:.0%}{of_size}")
        if read < size:
            raise http.client.IncompleteRead(b"", size - read)
