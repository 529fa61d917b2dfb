"""Rows of texts and labels in files: CSV and TSV with a header, JSON lines, and .txt in folders."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from engine.contract.errors import UserError
from engine.contract.events import FileSkipped
from engine.contract.text import plain
from engine.data.rows import NOT_UTF8, SUFFIXES, is_utf8, require, rows


class Row(NamedTuple):
    text: str
    label: str
    where: str
    """FILE:LINE or FILE, safe to show."""


def read(path: Path, text_column: str, label_column: str, skipped: list[FileSkipped]) -> list[Row]:
    """The rows of a table; those that can't be used are added to `skipped`.

    Raises `UserError` where the file is no table, or lacks a column.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(
            f'data.path: "{plain(path)}" is no table of texts; give a .csv, .tsv or .jsonl file, '
            "or a folder."
        )
    found: list[Row] = []
    checked = False
    for line, cells in rows(path):
        where = f"{plain(path, 4096)}:{line}"
        if cells is None:
            skipped.append(FileSkipped(path=where, reason="is no JSON object"))
            continue
        if not checked:
            require("text.text_column", text_column, list(cells), path)
            require("text.label_column", label_column, list(cells), path)
            checked = True
        text, label = cells.get(text_column), cells.get(label_column)
        if reason := _unusable(text, label):
            skipped.append(FileSkipped(path=where, reason=reason))
        else:
            found.append(Row(str(text).strip(), str(label).strip(), where))
    return found


def read_folder(root: Path, skipped: list[FileSkipped]) -> list[Row]:
    """The .txt files below the class folders of `root`, by path; as `read`."""
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise UserError(
            f'data.path: "{plain(root)}" holds no table (train.csv, .tsv or .jsonl) and no '
            "folders; put the .txt files of each class into a folder of its own."
        )
    found: list[Row] = []
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
                found.append(Row(text.strip(), folder.name, where))
    return found


def _unusable(text: Any, label: Any) -> str:
    """Why a row can't be used, or ""."""
    if not isinstance(text, str) or not text.strip():
        return "has no text"
    if label is None or isinstance(label, dict | list) or not str(label).strip():
        return "has no label"
    return "" if is_utf8(f"{text}{label}") else NOT_UTF8
