"""Texts with a label each, listed and split: tables (CSV, TSV, JSONL), or a folder a class."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.events import DataIndexed, FileSkipped
from engine.contract.paths import expand
from engine.contract.text import did_you_mean, plain, quoted
from engine.data import table
from engine.data.rows import CONVERT, NOT_UTF8, SUFFIXES
from engine.data.samples import counts_of, digest_of, indexed
from engine.data.split import VAL_NAMES, split
from engine.data.table import Row
from engine.places import similar

_VAL_NAMES = (*VAL_NAMES, "test")
_ONCE_NAMED = 3  # labels that occur once and are named


class LabelledText(NamedTuple):
    text: str
    label: int
    """Position in `TextIndex.classes`."""
    where: str = ""
    """FILE:LINE or FILE, safe to show."""


@dataclass(frozen=True)
class TextIndex:
    """A data set of texts; the same files and the same config give the same, in the same order."""

    classes: list[str]
    """Safe to show; numbers in their order, all else by name."""
    train: list[LabelledText]
    val: list[LabelledText]
    skipped: list[FileSkipped]
    """Rows and files that can't be used, as FILE or FILE:LINE."""
    remarks: list[str] = field(default_factory=list)
    """What the user should know, in sentences."""
    held_out: bool = False
    """As of `engine.data.samples.DataIndex`."""

    def name_of(self, number: int) -> str:
        return self.val[number].where

    @property
    def digest(self) -> str:
        return digest_of(f"{sample.label}/{sample.text}" for sample in self.train)

    def told(self) -> DataIndexed:
        return indexed(self.classes, self.counts(self.train), self.counts(self.val), "accuracy")

    def counts(self, samples: Iterable[LabelledText]) -> list[int]:
        """How many of `samples` are in each class."""
        return counts_of((sample.label for sample in samples), len(self.classes))


def index_texts(config: Config, tell: Callable[[str], None]) -> TextIndex:
    """Read the texts of `config.data.path`, and split them where there is no validation part.

    Rows without a usable text or label are in `skipped`. Raises `UserError` where the path holds
    no texts of two classes.
    """
    root = expand(config.data.path)
    skipped: list[FileSkipped] = []
    parts = []
    for place in _parts(root):
        tell(f"reading the texts of {plain(place)}")
        rows = _rows_of(place, config, skipped)
        if not rows:
            reason = skipped[0].reason if skipped else ""
            why = f" ({len(skipped)} skipped: {reason})" if skipped else ""
            then = CONVERT if reason == NOT_UTF8 else "add some"
            raise UserError(f"data.path: {quoted(place)} holds no usable text{why}; {then}.")
        parts.append(rows)
    names = _classes(parts, root)
    train, val = parts if len(parts) == 2 else _split(parts[0], config)
    if not val:
        raise UserError(
            f"data.path: every label of {quoted(root)} occurs once, which leaves none to validate "
            "on; is text.label_column the column of the labels?"
        )
    labels = {name: label for label, name in enumerate(names)}
    return TextIndex(
        [plain(name) for name in names],
        [LabelledText(row.text, labels[row.label], row.where) for row in train],
        [LabelledText(row.text, labels[row.label], row.where) for row in val],
        skipped,
        _once(train, val),
        held_out=len(parts) == 1,
    )


def _parts(root: Path) -> list[Path]:
    """The training and validation files or folders, or the one that is to be split."""
    if root.is_file():
        return [root]
    if not root.is_dir():
        hint = similar(root) or "; give a file or a folder that is there."
        raise UserError(f"data.path: {quoted(root)} does not exist{hint}")
    train, val = _named(root, "train"), [p for name in _VAL_NAMES for p in _named(root, name)]
    if len(train) > 1:
        both = " and ".join(plain(p.name) for p in train[:2])
        raise UserError(f"data.path: {quoted(root)} has {both}; keep one of them.")
    if not train:
        tables = sorted(p for p in root.iterdir() if p.suffix.lower() in SUFFIXES)
        if tables:
            raise UserError(
                f"data.path: {quoted(root)} has {plain(tables[0].name)} but no train.csv, .tsv or "
                f".jsonl; rename it, or give the file itself to have it split."
            )
    return [*(train or [root]), *(val[:1] if train else [])]


def _named(root: Path, name: str) -> list[Path]:
    """The tables of that name, or the folder."""
    files = [root / f"{name}{suffix}" for suffix in SUFFIXES]
    return [p for p in files if p.is_file()] or [p for p in [root / name] if p.is_dir()]


def _rows_of(place: Path, config: Config, skipped: list[FileSkipped]) -> list[Row]:
    if place.is_dir():
        return table.read_folder(place, skipped)
    return table.read(place, config.text.text_column, config.text.label_column, skipped)


def _classes(parts: list[list[Row]], root: Path) -> list[str]:
    """The labels of the training part, in order; raises `UserError` where they are no classes."""
    known, *others = ({row.label for row in rows} for rows in parts)
    for unknown in sorted(set().union(*others) - known)[:1]:
        hint = did_you_mean(unknown, known) or "; add it there, or remove it."
        raise UserError(
            f"data.path: the label {quoted(unknown)} is in the validation part of "
            f"{quoted(root)} but not in the training part{hint}"
        )
    if len(known) < 2:
        raise UserError(
            f"data.path: all texts of {quoted(root)} have the label {quoted(next(iter(known)))}; "
            "a classifier needs two or more."
        )
    numbers = all(name.isdecimal() for name in known)
    return sorted(known, key=(lambda name: (int(name), name)) if numbers else None)


def _split(rows: list[Row], config: Config) -> tuple[list[Row], list[Row]]:
    """By class, as pictures are; equal texts stay on one side."""
    of_class: dict[str, set[str]] = {}
    for row in rows:
        of_class.setdefault(row.label, set()).add(row.text)
    fraction, seed = config.data.val_fraction, config.data.split_seed
    held_out = {
        (label, text)
        for label, texts in of_class.items()
        for text in split(texts, fraction, seed)[1]
    }
    sides: tuple[list[Row], list[Row]] = ([], [])
    for row in rows:
        sides[(row.label, row.text) in held_out].append(row)
    return sides


def _once(train: list[Row], val: list[Row]) -> list[str]:
    """A sentence on labels that occur once: a typing error, or nothing to learn from."""
    counts = Counter(row.label for row in (*train, *val))
    places = {row.label: row.where for row in (*train, *val)}
    once = [label for label, count in counts.items() if count == 1]
    named = ", ".join(f"{quoted(label)} at {places[label]}" for label in once[:_ONCE_NAMED])
    more = f" and {len(once) - _ONCE_NAMED} more" if len(once) > _ONCE_NAMED else ""
    if not once:
        return []
    return [f"Labels that occur once are learnt from but can't be validated: {named}{more}."]
