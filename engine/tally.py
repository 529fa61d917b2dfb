"""What the batches of an evaluation come to; it stays on the device until all are read together."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from engine.contract.predictions import MASKS
from engine.tasks.measured import Measured


class Tally:
    """`sums`, `rows`, `masks` and `worst` are there once `read` was called."""

    def __init__(self) -> None:
        self.sums: list[float] = []
        """Over all samples."""
        self.rows: Tensor
        """(N, any): as of `Measured`, of all samples, on the CPU."""
        self.numbers: list[int] = []
        """Their positions in the list of validation samples, as far as that has any."""
        self.masks: dict[int, Tensor] = {}
        """Row of a sample to its masks (2, H, W), as of `Measured`, of the worst losses."""
        self._sums: list[Tensor] = []
        self._rows: list[Tensor] = []
        self._count = 0
        self._worst: tuple[Tensor, Tensor, Tensor] | None = None

    def __len__(self) -> int:
        """Samples so far."""
        return self._count

    def add(self, batch: Measured, numbers: Sequence[int]) -> None:
        """Take in a batch; nothing here waits for the device."""
        self._sums.append(batch.sums)
        self._rows.append(batch.rows)
        self.numbers += numbers
        if batch.masks is not None:
            self._worst = self._worse(batch.rows[:, 0], batch.masks)
        self._count += len(batch.rows)

    def read(self) -> None:
        """Fetch all of it."""
        columns = zip(*torch.stack(self._sums).tolist(), strict=True)
        self.sums = [math.fsum(column) for column in columns]
        self.rows = torch.cat(self._rows).cpu()
        if self._worst:
            _, rows, masks = (tensor.cpu() for tensor in self._worst)
            self.masks = dict(zip(rows.tolist(), masks, strict=True))

    def _worse(self, losses: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Losses, rows and masks of the worst samples, those of a batch included; NaN is worst."""
        rows = torch.arange(self._count, self._count + len(losses), device=losses.device)
        if self._worst:
            before = self._worst
            losses, rows, masks = (
                torch.cat([a, b]) for a, b in zip(before, (losses, rows, masks), strict=True)
            )
        losses, places = losses.topk(min(MASKS, len(losses)))
        return losses, rows[places], masks[places]
