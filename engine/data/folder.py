"""A folder a class: `train/` and `val/` with class folders, or class folders to be split."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.contract.config import DataConfig
from engine.contract.errors import UserError
from engine.contract.events import FileSkipped
from engine.contract.paths import expand
from engine.contract.text import did_you_mean, plain, quoted
from engine.data import picture
from engine.data.checking import reasons
from engine.data.samples import DataIndex, Sample
from engine.data.split import VAL_NAMES, split
from engine.places import similar

_NOT_CLASSES = {"__MACOSX", "@eaDir", "__pycache__"}  # left behind by archivers, a NAS, Python

Files = dict[str, list[Path]]
"""Folder name of a class to its files, by path."""


@dataclass(frozen=True)
class _Tree:
    """The class folders below one folder, in the order of their names."""

    root: Path
    files: Files
    loose: list[Path]
    """Pictures that lie beside the class folders, in none of them."""


def index_folder(config: DataConfig, tell: Callable[[str], None]) -> DataIndex:
    """List the pictures of `config.path`, check their headers, and split them where needed.

    Hidden files and files that are no pictures are passed over; what looks like a picture and can't
    be used is in `skipped`. Links are followed, loops are not. `tell` hears what goes on, in words.

    Raises `UserError` where the folder is not a data set of at least two classes.
    """
    root = expand(config.path)
    _check_folder(root)
    tell(f"listing the pictures of {plain(root)}")
    trees = [_scan(folder) for folder in _split_folders(root) or [root]]
    _check_classes(trees)
    skipped = [
        FileSkipped(path=_shown(path), reason="lies in no class folder")
        for tree in trees
        for path in tree.loose
    ]
    usable = [_usable(tree, skipped, tell) for tree in trees]
    _check_usable(trees, usable, skipped)
    train, val = usable if len(usable) == 2 else _split_each(usable[0], root, config)
    names = list(train)
    if not any(val.values()):
        raise UserError(_nothing_to_validate_on(trees))
    classes = [plain(name) for name in names]
    return DataIndex(
        classes, _samples(train, names), _samples(val, names), skipped, held_out=len(usable) == 1
    )


def _nothing_to_validate_on(trees: list[_Tree]) -> str:
    if len(trees) == 2:
        return (
            f"data.path: {quoted(trees[1].root)} holds no usable picture in class folders; add "
            "some, or remove the folder and give train/ itself to have it split"
        )
    return (
        f"data.path: every class of {quoted(trees[0].root)} has only one usable picture, which "
        "leaves none to validate on; add more, or a train/ and a val/ folder"
    )


def _check_folder(root: Path) -> None:
    try:
        mode = root.stat().st_mode
    except FileNotFoundError:
        hint = similar(root) or "; give the folder that holds the pictures"
        where = f" (looked for {plain(root.absolute())})" if not root.is_absolute() else ""
        raise UserError(f"data.path: {quoted(root)} does not exist{where}{hint}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"data.path: {quoted(root)} can't be opened: {plain(error)}") from error
    if not stat.S_ISDIR(mode):
        raise UserError(
            f"data.path: {quoted(root)} is a file; give the folder that holds a folder a class"
        )


def _split_folders(root: Path) -> list[Path] | None:
    """The train and val folders of `root`, or None where its folders are classes to be split."""
    inside = {entry.name for entry in _entries(root) if _is_folder(entry)}
    val = [name for name in VAL_NAMES if name in inside]
    names = "val/ (or valid/ or validation/)"
    if len(val) > 1:
        both = " and ".join(f"{name}/" for name in val)
        raise UserError(f"data.path: {quoted(root)} has {both}; keep one of them")
    if "train" in inside and val:
        return [root / "train", root / val[0]]
    if "train" in inside and any(map(_is_folder, _entries(root / "train"))):
        raise UserError(
            f"data.path: {quoted(root)} has train/ but no {names}; add one, or give "
            f"{quoted(root / 'train')} to have it split"
        )
    if val and any(map(_is_folder, _entries(root / val[0]))):
        raise UserError(
            f"data.path: {quoted(root)} has {val[0]}/ but no train/; add one, with a folder a class"
        )
    return None


def _scan(root: Path) -> _Tree:
    files: Files = {}
    loose = []
    for entry in _entries(root):
        if _is_folder(entry):
            found = _pictures(Path(entry.path), frozenset([_identity(root)]))
            files[entry.name] = sorted(found, key=str)
        elif _is_picture(entry.name):
            loose.append(Path(entry.path))
    return _Tree(root, files, loose)


def _pictures(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    """The pictures anywhere below; a link back to a folder `above` is a loop, and passed over."""
    identity = _identity(folder)
    if identity in above:
        return
    for entry in _entries(folder):
        if _is_folder(entry):
            yield from _pictures(Path(entry.path), above | {identity})
        elif _is_picture(entry.name):
            yield Path(entry.path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, by name, hidden things left out."""
    try:
        with os.scandir(folder) as entries:
            seen = [e for e in entries if not e.name.startswith(".") and e.name not in _NOT_CLASSES]
    except OSError as error:
        reason = plain(error.strerror or error).lower()
        raise UserError(
            f"data.path: {quoted(folder)} can't be listed: {reason}; mend its permissions"
        ) from error
    return sorted(seen, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in picture.SUFFIXES | picture.UNREADABLE_SUFFIXES


def _check_classes(trees: list[_Tree]) -> None:
    """The classes as the folders show them, before any picture is opened."""
    train = trees[0]
    where = quoted(train.root)
    if not train.files:
        kinds = "pictures but no class folders" if train.loose else "no folders"
        raise UserError(
            f"data.path: {where} holds {kinds}; put the pictures of each class into a folder of "
            "its own, named after the class"
        )
    if not any(train.files.values()):
        raise UserError(
            f"data.path: no picture lies in the folders of {where}; pictures are files such as "
            ".jpg, .png, .webp, .gif, .bmp or .tif"
        )
    if len(train.files) == 1:
        only = quoted(next(iter(train.files)))
        raise UserError(
            f"data.path: {where} has one class only, {only}; a classifier needs at least two class "
            "folders"
        )
    if len(trees) == 2:
        _check_val_classes(train, trees[1])


def _check_val_classes(train: _Tree, val: _Tree) -> None:
    unknown = [name for name in val.files if name not in train.files]
    if unknown:
        hint = did_you_mean(unknown[0], train.files)
        raise UserError(
            f"data.path: class {quoted(unknown[0])} is in {quoted(val.root)} but not in "
            f"{quoted(train.root)}{hint or '; add it there or remove it'}"
        )


def _usable(tree: _Tree, skipped: list[FileSkipped], tell: Callable[[str], None]) -> Files:
    """The pictures whose header can be read; the others are added to `skipped`."""
    usable: Files = {name: [] for name in tree.files}
    listed = [(name, path) for name, paths in tree.files.items() for path in paths]
    found = reasons([path for _, path in listed], tree.root, tell)
    for (name, path), reason in zip(listed, found, strict=True):
        if reason:
            skipped.append(FileSkipped(path=_shown(path), reason=reason))
        else:
            usable[name].append(path)
    return usable


def _check_usable(trees: list[_Tree], usable: list[Files], skipped: list[FileSkipped]) -> None:
    for name, paths in usable[0].items():
        if paths:
            continue
        folder = trees[0].root / name
        bad = len(trees[0].files[name])
        state = f"holds no usable picture ({bad} skipped)" if bad else "holds no picture"
        below = f"{_shown(folder)}/"
        reason = next((file.reason for file in skipped if file.path.startswith(below)), "")
        why = f", the first because: {reason}" if bad else ""
        raise UserError(
            f"data.path: class folder {quoted(folder)} {state}{why}; add pictures or remove it"
        )


def _split_each(files: Files, root: Path, config: DataConfig) -> tuple[Files, Files]:
    train, val = {}, {}
    for name, paths in files.items():
        by_name = {path.relative_to(root).as_posix(): path for path in paths}
        kept, held_out = split(by_name, config.val_fraction, config.split_seed)
        train[name] = [by_name[relative] for relative in kept]
        val[name] = [by_name[relative] for relative in held_out]
    return train, val


def _samples(files: Files, names: list[str]) -> list[Sample]:
    return [Sample(path, label) for label, name in enumerate(names) for path in files.get(name, [])]


def _shown(path: Path) -> str:
    return plain(path, limit=4096)
