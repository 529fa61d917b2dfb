"""Rows of tables: CSV and TSV with a header, and JSON lines."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.contract.errors import UserError
from engine.contract.text import did_you_mean, plain, quoted

SUFFIXES = (".csv", ".tsv", ".jsonl")
NOT_UTF8 = "is not UTF-8"
CONVERT = "convert it, such as with iconv -f latin1 -t utf-8"
Cells = dict[str, Any]
"""Of a row, by column; what a short row lacks is not in it."""


def rows(path: Path) -> Iterator[tuple[int, Cells | None]]:
    """Each row and the line where it begins; None for one that is no JSON object.

    What is not UTF-8 comes as lone surrogates, so that the other rows can be had. Raises
    `UserError` where the file can't be read or is no table.
    """
    kind = path.suffix.lower()
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield from _objects(file) if kind == ".jsonl" else _separated(file, path, kind)
    except OSError as error:
        reason = plain(error.strerror or error).lower()
        raise UserError(f"data.path: {quoted(path)} can't be read: {reason}.") from None


def whole(path: Path) -> Iterator[tuple[int, Cells]]:
    """As `rows`, of a table where each counts; raises `UserError` on one that can't be used."""
    for line, cells in rows(path):
        if cells is None:
            raise UserError(f"data.path: line {line:,} of {quoted(path)} is no JSON object.")
        if not is_utf8("".join(map(str, cells.values()))):
            raise UserError(
                f"data.path: line {line:,} of {quoted(path)} {NOT_UTF8} text; {CONVERT}."
            )
        yield line, cells


def require(setting: str, asked: str, columns: Sequence[str], path: Path) -> None:
    """Raises `UserError` where the table lacks a column, which `setting` names."""
    if asked not in columns:
        hint = did_you_mean(asked, columns).rstrip("?.")
        there = ", ".join(map(plain, columns))
        raise UserError(
            f'{setting}: {quoted(path)} has no column "{plain(asked)}"{hint}; it has {there}.'
        )


def is_utf8(text: str) -> bool:
    """Whether what was read was all UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _separated(file: Iterable[str], path: Path, kind: str) -> Iterator[tuple[int, Cells]]:
    csv.field_size_limit(sys.maxsize)  # its own is 128 KiB
    read = csv.reader(file, delimiter="\t" if kind == ".tsv" else ",")
    try:
        header = next(read, [])
        line = read.line_num + 1
        for row in read:
            if row:  # an empty line is none
                yield line, dict(zip(header, row, strict=False))
            line = read.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"data.path: {quoted(path)} is no table at line {read.line_num:,} ({plain(error)})."
        ) from None


def _objects(file: Iterable[str]) -> Iterator[tuple[int, Cells | None]]:
    for number, line in enumerate(file, start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            yield number, row if isinstance(row, dict) else None
