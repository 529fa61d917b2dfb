"""What the loop has still to tell: figures stay on the device until they are read together."""

import math
import time
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from engine.contract.events import Event, FileSkipped, NonFiniteLoss, StepsTrained
from engine.progress import Progress

SECONDS_BETWEEN_FLUSHES = 0.25


class Pending:
    """Steps and skipped files since the last flush. One transfer from the device a flush."""

    def __init__(
        self,
        progress: Progress,
        told: Iterable[str],
        watch: Callable[[int, float], None],
        memory: Callable[[], int | None] = lambda: None,
    ) -> None:
        """`told` are the paths of skipped files that the journal names already; `watch` sees the
        step and the loss of each step as it is read; `memory` tells the bytes taken at most."""
        self._progress = progress
        self._watch = watch
        self._memory = memory
        self._told = set(told)
        self._losses: list[Tensor] = []
        self._lrs: list[float] = []
        self._samples = 0
        self._others: list[Event] = []
        self.restart_clock()

    def add_step(self, loss: Tensor, lr: float, samples: int) -> None:
        """Take in a step: its loss as a scalar tensor, on the device."""
        self._losses.append(loss)
        self._lrs.append(lr)
        self._samples += samples

    def add_skipped(self, files: Iterable[FileSkipped]) -> None:
        """Take in files that could not be used; each is told once."""
        for file in files:
            if file.path not in self._told:
                self._told.add(file.path)
                self.add(file)

    def add(self, event: Event) -> None:
        """Take in something else that is to be told."""
        self._others.append(event)

    def restart_clock(self) -> None:
        """Leave out of the throughput what went on since: an evaluation, a pause."""
        self._since = time.monotonic()

    def flush_if_due(self) -> list[Event]:
        """What `flush` gives, four times a second."""
        due = time.monotonic() - self._since >= SECONDS_BETWEEN_FLUSHES
        return self.flush() if due else []

    def flush(self) -> list[Event]:
        """Everything so far, oldest first."""
        events: list[Event] = [*self._steps(), *self._others]
        self._losses, self._lrs, self._samples, self._others = [], [], 0, []
        self.restart_clock()
        return events

    def _steps(self) -> list[Event]:
        if not self._losses:
            return []
        values: list[float] = torch.stack(self._losses).tolist()
        first = self._progress.step - len(values) + 1
        finite = [math.isfinite(value) for value in values]
        seconds = max(time.monotonic() - self._since, 1e-9)
        return [
            StepsTrained(
                first_step=first,
                loss=[v if ok else None for v, ok in zip(values, finite, strict=True)],
                lr=self._lrs,
                samples_per_second=self._samples / seconds,
                memory=self._memory(),
            ),
            *self._stretches(first, values, finite),
        ]

    def _stretches(self, first: int, losses: list[float], finite: list[bool]) -> list[Event]:
        """The first step of each stretch of losses that are not finite."""
        events: list[Event] = []
        for step, (loss, ok) in enumerate(zip(losses, finite, strict=True), first):
            if not ok and not self._progress.not_finite:
                events.append(NonFiniteLoss(step=step, value=str(loss)))
            self._progress.not_finite = 0 if ok else self._progress.not_finite + 1
            self._watch(step, loss)
        return events
