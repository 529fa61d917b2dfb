"""Pictures listed in a file: CSV, TSV or JSONL with a picture and its labels a line."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.events import FileSkipped
from engine.contract.paths import expand
from engine.contract.text import plain, quoted
from engine.data.checking import reasons
from engine.data.rows import SUFFIXES, require, whole
from engine.data.samples import DataIndex, Sample
from engine.data.split import split

_TRAIN, _VAL = ("train", "training"), ("val", "valid", "validation", "test", "dev")


@dataclass(frozen=True)
class Listed:
    """A line of the list."""

    path: Path
    labels: str | list[str]
    """As written; a list only where JSON has one."""
    split: str
    """train, val, or empty where the list doesn't say."""


def is_list(path: str) -> bool:
    """Whether `data.path` names a list."""
    return path.lower().endswith(SUFFIXES)


def index_list(config: Config, tell: Callable[[str], None]) -> DataIndex:
    """The pictures of a list, with one label each; split where it has no column that says how.

    Raises `UserError` where the list can't be read or gives no data set of two classes.
    """
    listed, skipped = usable(config, tell)
    for line in listed:
        if not isinstance(line.labels, str) or not line.labels:
            raise UserError(
                f"data.path: {plain(line.path)} has {'no' if not line.labels else 'several'} "
                'labels in the list; for several set task = "multi-label-classification".'
            )
    names = sorted({str(line.labels) for line in listed})
    if len(names) < 2:
        raise UserError(
            f"data.path: {plain(config.data.path)} has one class only, {plain(names[0])!r}; a "
            "classifier needs at least two."
        )
    train, val = divided(config, listed, by=lambda line: str(line.labels))
    _check_trained(config, names, {str(line.labels) for line in train})
    label = {name: number for number, name in enumerate(names)}
    trained, held_out = (
        [Sample(line.path, label[str(line.labels)]) for line in some] for some in (train, val)
    )
    return DataIndex(
        [plain(name) for name in names], trained, held_out, skipped, held_out=not says(listed)
    )


def usable(config: Config, tell: Callable[[str], None]) -> tuple[list[Listed], list[FileSkipped]]:
    """The lines whose pictures can be read, and the other pictures. Raises `UserError`."""
    path = expand(config.data.path)
    tell(f"checking the pictures of {plain(path)}")
    listed = list(_lines(path, config))
    found = list(reasons([line.path for line in listed], path, tell))
    skipped = [
        FileSkipped(path=plain(line.path, limit=4096), reason=reason)
        for line, reason in zip(listed, found, strict=True)
        if reason
    ]
    good = [line for line, reason in zip(listed, found, strict=True) if not reason]
    if not good:
        first = f"; the first, {skipped[0].path}: {skipped[0].reason}" if skipped else ""
        raise UserError(f"data.path: {plain(path)} lists no picture that can be read{first}.")
    return good, skipped


def says(listed: Iterable[Listed]) -> bool:
    """Whether a list says what to validate on."""
    return any(line.split for line in listed)


def divided(
    config: Config, listed: list[Listed], by: Callable[[Listed], str]
) -> tuple[list[Listed], list[Listed]]:
    """Training and validation, as the list says or by a share of each group of `by`.

    Raises `UserError` where one of them is empty.
    """
    told = [line for line in listed if line.split]
    if told:
        parts = [[x for x in told if x.split == name] for name in ("train", "val")]
    else:
        groups: dict[str, dict[str, Listed]] = {}
        for line in listed:
            groups.setdefault(by(line), {})[str(line.path)] = line
        parts = [[], []]
        for _, lines in sorted(groups.items()):
            sides = split(lines, config.data.val_fraction, config.data.split_seed)
            for part, names in zip(parts, sides, strict=True):
                part += [lines[name] for name in names]
    for part, what in zip(parts, ("train", "validate"), strict=True):
        if not part:
            raise UserError(
                f"data.path: {plain(config.data.path)} leaves no picture to {what} on; add some, "
                f'or correct its column "{plain(config.images.split_column)}".'
            )
    return parts[0], parts[1]


def _check_trained(config: Config, names: Iterable[str], trained: set[str]) -> None:
    for name in names:
        if name not in trained:
            raise UserError(
                f'data.path: class "{plain(name)}" of {plain(config.data.path)} has no picture to '
                "train on; add some, or remove it."
            )


def _lines(path: Path, config: Config) -> Iterator[Listed]:
    asked, read = config.images, list(whole(path))
    if not read:
        raise UserError(f"data.path: {quoted(path)} is empty; it needs a line a picture.")
    columns = list(dict.fromkeys(column for _, cells in read for column in cells))
    require("images.file_column", asked.file_column, columns, path)
    require("images.label_column", asked.label_column, columns, path)
    for line, cells in read:
        name = cells.get(asked.file_column)
        if not isinstance(name, str) or not name:
            raise UserError(f"data.path: line {line:,} of {quoted(path)} names no file.")
        yield Listed(
            path.absolute().parent / expand(name),
            _labels(cells.get(asked.label_column)),
            _split(cells.get(asked.split_column), line, path, asked.split_column),
        )


def _labels(value: Any) -> str | list[str]:
    if isinstance(value, list):
        return [str(label) for label in value]
    return "" if value is None else str(value).strip()


def _split(value: Any, line: int, path: Path, column: str) -> str:
    said = str(value or "").strip().lower()
    if said in _TRAIN:
        return "train"
    if said in _VAL:
        return "val"
    if said:
        raise UserError(
            f'images.split_column: line {line:,} of {quoted(path)} has "{plain(said)}" in its '
            f'column "{plain(column)}", not train or val.'
        )
    return ""
