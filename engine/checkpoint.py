"""Checkpoints as folders: whole or not there at all, and every byte under a checksum.

```
checkpoints/step-00000120/trained.safetensors  the weights that train, by torch's names
                          frozen.safetensors   those that don't
                          model.safetensors.index.json  which are where
                          training.pt          what else the optimizer and the generators need
                          checkpoint.json      progress, config, and the checksums of the lot
            last -> step-00000120
            best -> step-00000080
```
What is frozen is written once: checkpoints share that file, as hard links. A second checkpoint of
the same step is `step-00000120-2`, which then replaces the first. Where a run went back, the best
of what it gave up is `given-up-best`. Tensors are the business of `engine.snapshot` and
`engine.shards`; torch is not needed here.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct

from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.text import plain
from engine.progress import Progress

FOLDER = "checkpoints"
FROZEN, TRAINED = "frozen.safetensors", "trained.safetensors"
INDEX = "model.safetensors.index.json"
TRAINING = "training.pt"
MANIFEST = "checkpoint.json"
START = "start.safetensors"
"""Beside the folder of checkpoints, where `engine.origin` keeps what the run began with."""
LAST, BEST = "last", "best"
GIVEN_UP_BEST = "given-up-best"

_NAME = re.compile(r"step-(\d+)(?:-(\d+))?")
_PARTIAL = ".partial"


class Stored(Struct, frozen=True):
    """A file of a checkpoint."""

    size: int
    """Bytes."""
    blake2b: str


class Manifest(Struct, frozen=True):
    """What `checkpoint.json` says."""

    progress: Progress
    config: Config
    classes: list[str]
    best: bool
    samples: str = ""
    """`Index.digest` of the data it was trained on."""
    files: dict[str, Stored] = {}


class Checkpoint(NamedTuple):
    """A checkpoint on the disk."""

    path: Path
    manifest: Manifest

    @property
    def told_as(self) -> str:
        """Its path relative to the run's folder, as the journal tells it."""
        return f"{FOLDER}/{self.path.name}"

    @property
    def size(self) -> int:
        """Bytes, without the manifest's own few."""
        return sum(stored.size for stored in self.manifest.files.values())


class Damaged(Exception):  # noqa: N818 (a state of the disk, not a defect)
    """A checkpoint that is not as it was written; the text says how."""


class _Sealed(Struct, frozen=True, forbid_unknown_fields=True):
    manifest: Raw
    blake2b: str


def save(
    run: Path,
    manifest: Manifest,
    keep_last: int,
    write: Callable[[Path], None],
    same_frozen: Checkpoint | None = None,
) -> Checkpoint:
    """Write a checkpoint of the run in folder `run`, point `last` and maybe `best` to it, prune.

    `write` puts the tensor files into the folder it is given, of which that of `same_frozen` for
    what is frozen may be there already; `manifest.files` is filled in here.
    Raises `OSError`, with nothing half-written left, where the disk refuses.
    """
    parent = run / FOLDER
    parent.mkdir(exist_ok=True)
    _sweep(parent)
    name = _free_name(parent, manifest.progress.step)
    partial = parent / f".{name}{_PARTIAL}"
    try:
        partial.mkdir()
        linked = _link_frozen(same_frozen, partial)
        write(partial)
        written = [path for path in sorted(partial.iterdir()) if path.name not in linked]
        files = linked | {path.name: _stored(path) for path in written}
        best = manifest.best or _are_of_best(parent, manifest.progress)
        manifest = msgspec.structs.replace(manifest, files=files, best=best)
        (partial / MANIFEST).write_bytes(_seal(manifest))
        for path in [*written, partial / MANIFEST, partial]:
            sync(path)
        partial.rename(parent / name)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    saved = Checkpoint(parent / name, manifest)
    _point_to(saved)
    _prune(parent, keep_last)
    sync(parent)
    return saved


def newest(run: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest intact checkpoint, if there is any, and a warning for each damaged one after it.

    Damaged ones are set aside as `damaged-step-...`, and the links are put right: a worker may have
    died before it set them. Raises `UserError` where all are damaged.
    """
    names = _names(run / FOLDER)
    damaged: dict[str, str] = {}
    for name in reversed(names):
        path = run / FOLDER / name
        try:
            found = Checkpoint(path, check(path))
        except Damaged as error:
            damaged[name] = str(error)
        else:
            warnings = [_set_aside(run, bad, name, why) for bad, why in damaged.items()]
            _sweep(path.parent)
            _point_to(found)
            return found, warnings
    if damaged:
        raise UserError(
            f"{plain(run.name)}: no checkpoint is intact ({damaged[names[-1]]}); delete the folder "
            f"{FOLDER} to start again from the beginning."
        )
    return None, []


def best(run: Path) -> Checkpoint:
    """The best so far. Raises `Damaged`, also where there is none."""
    path = run / FOLDER / BEST
    return Checkpoint(path.resolve(), check(path))


def has_best(run: Path) -> bool:
    """Whether `best` points to a checkpoint."""
    return (run / FOLDER / BEST).exists()


def until(run: Path, step: int) -> Iterator[Checkpoint]:
    """The intact checkpoints at or before `step`, newest first."""
    for name in reversed(_names(run / FOLDER)):
        if _order(name)[0] <= step:
            with suppress(Damaged):
                yield Checkpoint(run / FOLDER / name, check(run / FOLDER / name))


def give_up_after(saved: Checkpoint) -> bool:
    """Remove the checkpoints that came after `saved`, since the run went back to it.

    Where the best was among them, it is kept as `given-up-best`, and `best` is the one that was so
    before. Returns whether that is no longer there.
    """
    parent = saved.path.parent
    best = parent / BEST
    later = [name for name in _names(parent) if _order(name) > _order(saved.path.name)]
    best_given_up = best.is_symlink() and best.readlink().name in later
    if best_given_up:
        shutil.rmtree(parent / GIVEN_UP_BEST, ignore_errors=True)
        (parent / best.readlink()).rename(parent / GIVEN_UP_BEST)
        best.unlink()
    _point_to(saved)
    for name in later:
        shutil.rmtree(parent / name, ignore_errors=True)
    return best_given_up and not _point_to_best_of_then(saved)


def _point_to_best_of_then(saved: Checkpoint) -> bool:
    """Point `best` to what was the best when `saved` was; returns whether that is still there."""
    value = saved.manifest.progress.best
    for found in until(saved.path.parent.parent, saved.manifest.progress.step):
        if found.manifest.best and found.manifest.progress.best == value:
            _point(saved.path.with_name(BEST), found.path.name)
            return True
    return False


def check(path: Path) -> Manifest:
    """The manifest of a checkpoint, each byte of which is as it was written.

    Raises `Damaged`.
    """
    try:
        sealed = msgspec.json.decode((path / MANIFEST).read_bytes(), type=_Sealed)
        if _digest(bytes(sealed.manifest)) != sealed.blake2b:
            raise Damaged(f"{MANIFEST} does not have its checksum")
        manifest = msgspec.json.decode(sealed.manifest, type=Manifest)
        for name, stored in manifest.files.items():
            if _stored(path / name) != stored:
                raise Damaged(f"{name} does not have its checksum")
    except FileNotFoundError as error:
        raise Damaged(f"{Path(error.filename).name} is missing") from None
    except OSError as error:
        raise Damaged(f"it can't be read: {plain(error.strerror)}") from None
    except ValueError:
        raise Damaged(f"{MANIFEST} can't be understood") from None
    return manifest


def _seal(manifest: Manifest) -> bytes:
    body = msgspec.json.encode(manifest)
    return msgspec.json.encode(_Sealed(Raw(body), _digest(body)))


def _link_frozen(other: Checkpoint | None, folder: Path) -> dict[str, Stored]:
    """Nothing where the file system has no hard links, or the other checkpoint is gone."""
    if other and (stored := other.manifest.files.get(FROZEN)):
        with suppress(OSError):
            os.link(other.path / FROZEN, folder / FROZEN)
            return {FROZEN: stored}
    return {}


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data).hexdigest()


def _stored(path: Path) -> Stored:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "blake2b").hexdigest()
    return Stored(path.stat().st_size, digest)


def sync(path: Path) -> None:
    """Have the system put a file or a folder on the disk. Raises `OSError`."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _names(parent: Path) -> list[str]:
    """The checkpoints there are, oldest first."""
    found = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
    return sorted((name for name in found if _NAME.fullmatch(name)), key=_order)


def _order(name: str) -> tuple[int, int]:
    match = _NAME.fullmatch(name)
    assert match
    return int(match[1]), int(match[2] or 1)


def _free_name(parent: Path, step: int) -> str:
    taken = [serial for at, serial in map(_order, _names(parent)) if at == step]
    return f"step-{step:08d}" + (f"-{max(taken) + 1}" if taken else "")


def _point_to(newest: Checkpoint) -> None:
    for link in [LAST, BEST] if newest.manifest.best else [LAST]:
        _point(newest.path.with_name(link), newest.path.name)


def _point(link: Path, name: str) -> None:
    """Make `link` a relative link to `name`, in one move; one that is right is left alone."""
    if link.is_symlink() and link.readlink() == Path(name):
        return
    partial = link.with_name(f".{link.name}{_PARTIAL}")
    partial.symlink_to(name)
    partial.rename(link)


def _name_of_best(parent: Path) -> str | None:
    best = parent / BEST
    is_one = best.is_symlink() and _NAME.fullmatch(best.readlink().name)
    return best.readlink().name if is_one else None


def _are_of_best(parent: Path, progress: Progress) -> bool:
    """Whether weights with this progress are those of the best: the plan may have begun some anew
    since."""
    name = _name_of_best(parent)
    if name is None or _order(name)[0] != progress.step:
        return False
    with suppress(Damaged):
        return check(parent / name).progress.reinitialised == progress.reinitialised
    return False


def _prune(parent: Path, keep_last: int) -> None:
    """Leave the best and the newest `keep_last` steps, of each step only the newest."""
    newest_of = {_order(name)[0]: name for name in _names(parent)}
    kept = {_name_of_best(parent), *list(newest_of.values())[-keep_last:]}
    for name in set(_names(parent)) - kept:
        shutil.rmtree(parent / name, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove what a worker left that died while saving."""
    for left in parent.glob(f".*{_PARTIAL}"):
        if left.is_symlink():
            left.unlink()
        else:
            shutil.rmtree(left, ignore_errors=True)


def _set_aside(run: Path, name: str, used: str, why: str) -> str:
    aside = f"damaged-{name}"
    shutil.rmtree(run / FOLDER / aside, ignore_errors=True)
    (run / FOLDER / name).rename(run / FOLDER / aside)
    return f"{FOLDER}/{name} is damaged ({why}): it is now {aside}, and {used} is used instead."
