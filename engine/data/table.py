"""Rows of texts and labels in files: CSV and TSV with a header, JSON lines, and .txt in folders."""

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from engine.contract.errors import UserError
from engine.contract.events import FileSkipped
from engine.contract.text import did_you_mean, plain

SUFFIXES = (".csv", ".tsv", ".jsonl")


class Row(NamedTuple):
    text: str
    label: str
    where: str
    """FILE:LINE or FILE, safe to show."""


Cells = tuple[int, Any, Any]
"""Line number, text and label as they stand there."""


def read(path: Path, text_column: str, label_column: str, skipped: list[FileSkipped]) -> list[Row]:
    """The rows of a table; those that can't be used are added to `skipped`.

    Raises `UserError` where the file is no table, or lacks a column.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(
            f'data.path: "{plain(path)}" is no table of texts; give a .csv, .tsv or .jsonl file, '
            "or a folder."
        )
    columns = {"text.text_column": text_column, "text.label_column": label_column}
    rows = []
    try:
        # what is not UTF-8 comes as lone surrogates, so that the other rows can be had
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            cells = _json_lines if suffix == ".jsonl" else _separated
            for line, text, label in cells(file, path, columns):
                where = f"{plain(path, 4096)}:{line}"
                if reason := _unusable(text, label):
                    skipped.append(FileSkipped(path=where, reason=reason))
                else:
                    rows.append(Row(text.strip(), str(label).strip(), where))
    except OSError as error:
        reason = plain(error.strerror or error).lower()
        raise UserError(f'data.path: "{plain(path)}" can\'t be read: {reason}.') from None
    return rows


def read_folder(root: Path, skipped: list[FileSkipped]) -> list[Row]:
    """The .txt files below the class folders of `root`, by path; as `read`."""
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise UserError(
            f'data.path: "{plain(root)}" holds no table (train.csv, .tsv or .jsonl) and no '
            "folders; put the .txt files of each class into a folder of its own."
        )
    rows = []
    for folder in folders:
        files = (Path(top) / name for top, _, names in os.walk(folder) for name in names)
        texts = sorted(p for p in files if p.suffix.lower() == ".txt" and p.name[0] != ".")
        for path in texts:
            where = plain(path, 4096)
            try:
                text = path.read_text("utf-8-sig", errors="surrogateescape")
                reason = _unusable(text, folder.name)
            except OSError as error:
                text, reason = "", plain(error.strerror or error).lower()
            if reason:
                skipped.append(FileSkipped(path=where, reason=reason))
            else:
                rows.append(Row(text.strip(), folder.name, where))
    return rows


def _separated(file: Iterable[str], path: Path, columns: dict[str, str]) -> Iterator[Cells]:
    csv.field_size_limit(sys.maxsize)
    rows = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    try:
        header = next(rows, [])
        places = [_column(name, asked, header, path) for name, asked in columns.items()]
        line = rows.line_num + 1
        for row in rows:
            if row:  # an empty line is none
                text, label = (row[place] if place < len(row) else None for place in places)
                yield line, text, label
            line = rows.line_num + 1
    except csv.Error as error:
        raise UserError(
            f'data.path: "{plain(path)}" is no table at line {rows.line_num} ({plain(error)}).'
        ) from None


def _json_lines(file: Iterable[str], path: Path, columns: dict[str, str]) -> Iterator[Cells]:
    asked = None
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            yield number, _NotAnObject, None
            continue
        if asked is None:
            asked = [list(row)[_column(*item, list(row), path)] for item in columns.items()]
        yield number, *(row.get(name) for name in asked)  # type: ignore[misc]


class _NotAnObject:
    """What stands in a line of a .jsonl file that holds no JSON object."""


def _column(setting: str, asked: str, header: list[str], path: Path) -> int:
    if asked in header:
        return header.index(asked)
    if not any(header):
        raise UserError(f'data.path: "{plain(path)}" is empty; it needs a header and rows.')
    there = ", ".join(map(plain, header))
    hint = did_you_mean(asked, header).rstrip("?.") if did_you_mean(asked, header) else ""
    raise UserError(
        f'{setting}: "{plain(path)}" has no column "{plain(asked)}"{hint}; it has {there}.'
    )


def _unusable(text: Any, label: Any) -> str:
    """Why a row can't be used, or ""."""
    if text is _NotAnObject:
        return "is no JSON object"
    if not isinstance(text, str) or not text.strip():
        return "has no text"
    if label is None or isinstance(label, dict | list) or not str(label).strip():
        return "has no label"
    try:
        f"{text}{label}".encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    return ""
