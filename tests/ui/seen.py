"""Data as an inspector would tell of it: drawn here, and the same each time."""

import asyncio
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec.structs import replace
from PIL import Image

from engine.contract.baseline import Baseline
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.events import FileSkipped
from engine.contract.inspection import Copy, Lengths, Overview, Samples, Scan, Shown, Twins, Which

SIDE = 64


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def disc(colour: tuple[int, int, int], at: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture of a disc, and where it is."""
    y, x = np.mgrid[:SIDE, :SIDE]
    inside = (x - at) ** 2 + (y - SIDE // 2) ** 2 < (SIDE // 4) ** 2
    pixels = np.where(inside[..., None], colour, (30, 30, 40)).astype(np.uint8)
    return pixels, inside


class SeenData:
    """Two classes of discs, red and blue, and texts of them; a mixin of inspectors for tests."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Which] = []
        self.listed = asyncio.Event()
        self.listed.set()
        self.left = False
        self.problem = ""
        self.overview: dict[str, Any] = {}
        """What an overview has otherwise."""
        self.scans = [0.5, 1.0]
        """Share that each look comes to."""

    async def data(self, config: Config, tell: Callable[[str], None]) -> Overview:
        tell("checked 12,000 of [b]50,000 pictures")
        await self.listed.wait()
        if self.problem:
            raise UserError(self.problem)
        classed = config.task != "causal-lm"
        found = Overview(
            classes=["red [b]discs[/b]", "blue discs"] if classed else [],
            train_counts=[70, 10] if classed else [80],
            val_counts=[14, 2] if classed else [16],
            train=80,
            val=16,
            held_out=True,
            baseline=Baseline("top1", 0.875, "always saying 'red'")
            if config.task == "image-classification"
            else None,
            skipped=1,
            first_skipped=[FileSkipped(path="red/[x].png", reason="empty file")],
            remarks=[],
        )
        return replace(found, **self.overview)

    async def scan(self, config: Config) -> Scan:
        share = self.scans.pop(0) if len(self.scans) > 1 else self.scans[0]
        texts = config.task in ("text-classification", "causal-lm")
        return Scan(
            looked=round(96 * share),
            wanted=96,
            total=96,
            train_copies=2,
            val_copies=0,
            first_copies=[Copy("red/1.png", "red/7.png"), Copy("red/2.png", "red/8.png")],
            same=1,
            first_same=[Twins("red/1.png", "red/99.png")],
            near=1 if share == 1 else 0,
            first_near=[Twins("red/2.png", "red/98.png")] if share == 1 else [],
            broken=0,
            first_broken=[],
            lengths=Lengths(True, 12, 40, 99, 64, 3) if texts else None,
        )

    async def samples(self, config: Config, which: Which) -> Samples:
        self.seen.append(which)
        shown = [self._shown(config.task, which.part, n, which.of) for n in which.numbers]
        return Samples(80, shown)

    async def leave_data(self) -> None:
        self.left = True

    def _shown(self, task: str, part: str, number: int, of: int | None) -> Shown:
        label = number % 2 if of is None else of
        name = f"{('red', 'blue')[label]}/{part}-{number}.png"
        labels = [("red [b]discs[/b]", "blue discs")[label]]
        if task in ("text-classification", "causal-lm"):
            text = f"Text {number} of [b]a disc[/b]\nthat is {labels[0]}."
            labels = labels if task == "text-classification" else []
            kept = 64 if task == "text-classification" else None
            return Shown(
                number=number,
                name=f"discs.csv:{number}",
                labels=labels,
                text=text,
                characters=len(text),
                tokens=99,
                kept=kept,
            )
        if number == 3:
            return Shown(number=number, name=name, labels=labels, problem="cut short [red]here")
        pixels, inside = disc(((220, 40, 30), (40, 60, 230))[label], 16 + 3 * (number % 10))
        mask = png((inside * (label + 1) + 1).astype(np.uint16))
        masked = task == "semantic-segmentation"
        return Shown(
            number=number,
            name=name,
            labels=labels,
            picture=png(pixels),
            mask=mask if masked else b"",
        )
