"""Paths as they are typed: completion, and a glance at what lies there. Nothing is opened."""

import asyncio
import os
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path

from textual.suggester import Suggester

from engine.contract.paths import expand
from engine.contract.tasks import TASKS
from engine.contract.text import plain
from engine.places import known_set
from ftui.format import count

_LISTS = {".csv", ".tsv", ".jsonl"}
_TEXTS = {".txt", ".md"} | _LISTS
_PICTURES = {
    *(".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo", ".png", ".ppm", ".pgm"),
    *(".tif", ".tiff", ".webp", ".avif"),
}
_VALIDATION = {"val", "valid", "validation"}
_NAMED = 3
_MOST = 20_000
"""Files looked at: a glance must not take long on a network's disk."""


class PathSuggester(Suggester):
    """Completes folders, and files that end in one of `suffixes`."""

    def __init__(self, suffixes: Collection[str] = ()) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._suffixes = suffixes

    async def get_suggestion(self, value: str) -> str | None:
        return await asyncio.to_thread(complete, value, self._suffixes)


def complete(value: str, suffixes: Collection[str] = ()) -> str | None:
    """`value` with its last part completed to the first name that it begins; None for none."""
    folder, slash, start = value.rpartition("/")
    if not value or (value.startswith("~") and not slash):
        return None
    place = expand(folder + slash or ".")
    for entry in _sorted_entries(place):
        fits = entry.name.startswith(start) and (start or not entry.name.startswith("."))
        if fits and entry.is_dir():
            return f"{folder}{slash}{entry.name}/"
        if fits and Path(entry.name).suffix.lower() in suffixes:
            return f"{folder}{slash}{entry.name}"
    return None


def near(path: Path) -> str:
    """A path as it is seen from here, where it lies below; whole otherwise."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def glance(path: str, task: str) -> str:
    """What a data folder holds by its names, such as `434 pictures in 7 classes`, `80 pictures with
    masks`, `2 text files`, or what is wrong.

    Reads names only, and at most some thousands of them, so it is a first look, no check. Nothing
    is said of a list, nor of torchvision's own data sets.
    """
    root = expand(path)
    if known_set(path):
        return ""
    if not root.exists():
        return "no such folder"
    if not root.is_dir():
        files = _TEXTS if task == "causal-lm" else _LISTS
        return "" if root.suffix.lower() in files else "a file, not a folder"
    if TASKS[task].of_texts:
        return _texts(root)
    folders = _folders(root)
    split = {p.name: p for p in folders if p.name in {"train"} | _VALIDATION}
    below = [p for place in (root, *split.values()) for p in _folders(place)]
    if any(p.name == "masks" for p in below):
        return f"{_many(p for p in below if p.name == 'images')} with masks"
    classes = _classes(folders)
    if "train" in split:
        parts = [split["train"], *(p for name, p in split.items() if name in _VALIDATION)]
        how = " and ".join(f"{plain(p.name)}/" for p in parts)
        pictures = _many(c for part in parts for c in _folders(part))
    else:
        how, pictures = "to be split", _many(folders)
    if not classes:
        return "no class folders in it"
    noun = "class" if len(classes) == 1 else "classes"
    return f"{pictures} in {len(classes):,} {noun}, {how}"


def classes_in(path: str, task: str) -> int | None:
    """How many class folders a data folder has, by their names; None where files tell it."""
    if not path or task != "image-classification":
        return None
    try:
        root = expand(path)
        if known_set(path) or not root.is_dir():
            return None
        classes = _classes(_folders(root))
    except OSError:  # no possible name, or not to be read
        return None
    return len(classes) if len(classes) > 1 else None


def _classes(folders: list[Path]) -> list[Path]:
    """The class folders of a data folder that has these: those in `train`, where there is one."""
    return next((_folders(p) for p in folders if p.name == "train"), folders)


def _texts(root: Path) -> str:
    """How many texts and tables are below a folder; the names of a few."""
    below = (Path(name) for _, _, names in os.walk(root) for name in names)
    found = sorted(p.name for p in islice(below, _MOST) if p.suffix.lower() in _TEXTS)
    if not found:
        return "no text in it"
    few = f": {', '.join(map(plain, found))}" if len(found) <= _NAMED else ""
    return f"{count(len(found), 'text file')}{few}"


def _many(folders: Iterator[Path] | list[Path]) -> str:
    """How many pictures are below these, in words."""
    files = (name for folder in folders for _, _, names in os.walk(folder) for name in names)
    found = sum(Path(name).suffix.lower() in _PICTURES for name in islice(files, _MOST + 1))
    return f"over {_MOST:,} pictures" if found > _MOST else count(found, "picture")


def _folders(place: Path) -> list[Path]:
    entries = _sorted_entries(place)
    return [Path(e.path) for e in entries if e.is_dir() and not e.name.startswith((".", "__"))]


def _sorted_entries(place: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(place) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []
