"""Runs with predictions, as a worker leaves them."""

import io

import msgspec
import numpy as np
from PIL import Image

from engine.contract import events as e
from engine.contract.config import Config
from engine.contract.inspection import Samples, Shown, Which
from engine.contract.predictions import NEWEST, Cell, Counts, Masks, Predictions, Row
from tests.ui.scripted import ScriptedInspector, ScriptedRun

PETS = ["cat", "dog", "[red]eel[/]"]
MATRIX = [[5, 2, 0], [1, 6, 0], [0, 1, 0]]
"""A row a true class."""


def row(number: int, loss: float | None, label: int, said: int, name: str = "") -> Row:
    name = name or f"/data/pets/val/{'cde'[label]}/{number}.png"
    return Row(number, name, loss, [label], [said], 0.9 - 0.1 * number)


ROWS = [
    row(3, None, 2, 1, "/data/pets/val/e/[bold]3.png"),
    row(0, 2.5, 0, 1, "/data/pets/val/c/=cmd.png"),
    row(1, 1.25, 0, 1),
    row(2, 0.75, 1, 0),
    *(row(n, 0.1, 0, 0) for n in range(4, 9)),
    *(row(n, 0.05, 1, 1) for n in range(9, 15)),
]


def of_pets(**others) -> Predictions:
    """Of 15 pictures of three classes."""
    cells = [Cell(t, s, n) for t, row in enumerate(MATRIX) for s, n in enumerate(row) if n]
    right = [MATRIX[k][k] for k in range(3)]
    said = [sum(column) for column in zip(*MATRIX, strict=True)]
    counts = [Counts(*x) for x in zip(right, said, map(sum, MATRIX), strict=True)]
    plain = {
        "task": "image-classification",
        "step": 192,
        "epoch": 4,
        "samples": 15,
        "classes": PETS,
        "score": "probability",
        "counts": counts,
        "cells": cells,
        "rows": ROWS,
    }
    return Predictions(**(plain | others))


def of_scenes() -> Predictions:
    """Of one picture with masks."""
    return of_pets(
        task="semantic-segmentation",
        samples=1,
        score="mean IoU",
        rows=[Row(0, "/data/images/a.png", 0.5, [], [], 0.625)],
        masks=[Masks(0, png(mask(1)), png(mask(2)))],
    )


def keep(run: ScriptedRun, found: Predictions, path: str = NEWEST) -> None:
    """Write predictions and tell of them."""
    file = run.folder / path
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(msgspec.json.encode(found))
    run.tell(e.PredictionsSaved(found.step, found.epoch, path, found.samples))


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def mask(place: int) -> np.ndarray:
    """Its right half has a class."""
    pixels = np.ones((32, 32), np.uint16)
    pixels[:, 16:] = place + 1
    return pixels


class SampleInspector(ScriptedInspector):
    """Knows validation samples by their number."""

    def __init__(self, *shown: Shown) -> None:
        self.known = {each.number: each for each in shown}
        self.asked: list[int] = []

    async def samples(self, config: Config, which: Which) -> Samples:
        assert which.part == "val"
        self.asked += which.numbers
        known = [self.known[n] for n in which.numbers if n in self.known]
        return Samples(len(self.known), known)
