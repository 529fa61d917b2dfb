"""Texts to learn language from: files of text, or a column of CSV, TSV and JSONL."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.events import FileSkipped
from engine.contract.paths import expand
from engine.contract.text import plain, quoted
from engine.data.rows import CONVERT, NOT_UTF8, SUFFIXES, whole
from engine.data.split import VAL_NAMES, split
from engine.places import similar

_TEXTS = (".txt", ".md")
_WHOLE_FROM = 10
"""With so many documents whole ones are held out; with fewer, the end of each."""


class Document(NamedTuple):
    name: str
    """Its file, and in a table its number: the same from run to run."""
    text: str


class Documents(NamedTuple):
    """Texts listed and split; none is blank."""

    train: list[Document]
    val: list[Document]
    skipped: list[FileSkipped]
    """Files without a word."""
    held_out: bool = False
    """As of `engine.data.samples.DataIndex`."""
    ends: bool = False
    """Whether those held out are the ends of those to train on, in the same order."""


def read_documents(config: Config, tell: Callable[[str], None]) -> Documents:
    """All texts of `data.path`: a file or a folder, with `train` and `val` or to be split.

    Raises `UserError` where there are none, or one can't be read.
    """
    root, column = expand(config.data.path), config.text.text_column
    tell(f"reading the texts of {plain(root)}")
    skipped: list[FileSkipped] = []
    parts = _parts(root)
    if parts:
        train, val = (_read(part, column, skipped) for part in parts)
        for part, found in zip(parts, (train, val), strict=True):
            if not found:
                raise UserError(f"data.path: {quoted(part)} holds no text; every file is empty.")
        return Documents(train, val, skipped)
    found = _read(root, column, skipped)
    if not found:
        raise UserError(f"data.path: {quoted(root)} is empty; give a file or a folder of text.")
    ends = len(found) < _WHOLE_FROM
    fraction, seed = config.data.val_fraction, config.data.split_seed
    train, val = _cut_each(found, fraction) if ends else _split(found, fraction, seed)
    return Documents(train, val, skipped, True, ends)


def _parts(root: Path) -> list[Path] | None:
    """What to train and what to validate on, or None where it is to be split."""
    if not root.exists():
        hint = similar(root) or "; give a file or a folder of text."
        raise UserError(f"data.path: {quoted(root)} does not exist{hint}")
    if not root.is_dir():
        return None
    train, val = (_named(root, names) for names in (("train",), VAL_NAMES))
    if train and val:
        return [train, val]
    if train or val:
        there, missing = ("train", "val") if train else ("val", "train")
        raise UserError(
            f"data.path: {quoted(root)} has {there} but no {missing}; add it, or give "
            f"{quoted(train or val)} to have it split."
        )
    return None


def _named(root: Path, names: tuple[str, ...]) -> Path | None:
    """The folder or the file of text of such a name."""
    kinds = ("", *_TEXTS, *SUFFIXES)
    found = [root / f"{name}{kind}" for name in names for kind in kinds]
    found = [path for path in found if path.exists() and (path.suffix or path.is_dir())]
    if len(found) > 1:
        both = " and ".join(quoted(path.name) for path in found)
        raise UserError(f"data.path: {quoted(root)} has {both}; keep one of them.")
    return found[0] if found else None


def _read(place: Path, column: str, skipped: list[FileSkipped]) -> list[Document]:
    documents: list[Document] = []
    for path in _files(place):
        found = [x for x in _documents(path, column) if x.text.strip()]
        documents += found
        if not found:
            skipped.append(FileSkipped(path=plain(path, limit=4096), reason="holds no text"))
    return documents


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    kinds = (*_TEXTS, *SUFFIXES)
    below = sorted(path for path in place.rglob("*") if path.suffix.lower() in kinds)
    hidden = [any(x.startswith(".") for x in p.relative_to(place).parts) for p in below]
    files = [p for p, out in zip(below, hidden, strict=True) if p.is_file() and not out]
    if not files:
        raise UserError(
            f"data.path: {quoted(place)} holds no file of text; those are {', '.join(kinds)}."
        )
    return files


def _documents(path: Path, column: str) -> Iterator[Document]:
    shown = plain(path, limit=4096)
    if path.suffix.lower() not in SUFFIXES:
        yield Document(shown, _decoded(path))
        return
    for line, cells in whole(path):
        cell = cells.get(column)
        if not isinstance(cell, str):
            columns = ", ".join(map(quoted, cells))
            raise UserError(
                f"text.text_column: line {line:,} of {quoted(path)} has no text in a column "
                f"{quoted(column)}; its columns are {columns or 'none'}."
            )
        yield Document(f"{shown}:{line}", cell)


def _decoded(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"data.path: {quoted(path)} can't be read: {plain(error)}") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"data.path: {quoted(path)} {NOT_UTF8} text: byte {error.start:,} (line {line:,}) "
            f"can't be decoded; {CONVERT}."
        ) from None


def _split(
    documents: list[Document], fraction: float, seed: int
) -> tuple[list[Document], list[Document]]:
    """Whole documents to either side."""
    texts = dict(documents)
    train, val = split(texts, fraction, seed)
    kept, held_out = ([Document(name, texts[name]) for name in part] for part in (train, val))
    return kept, held_out


def _cut_each(documents: list[Document], fraction: float) -> tuple[list[Document], list[Document]]:
    """The beginning of each, and its end."""
    cut = [(name, *_cut(text, fraction)) for name, text in documents]
    heads = [Document(name, head) for name, head, _ in cut]
    return heads, [Document(name, tail) for name, _, tail in cut]


def _cut(text: str, fraction: float) -> tuple[str, str]:
    """At the end of a line, if one ends in the tenth of the text before the place."""
    place = round(len(text) * (1 - fraction))
    line_end = text.rfind("\n", place - len(text) // 10, place) + 1
    return text[: line_end or place], text[line_end or place :]
