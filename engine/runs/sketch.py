"""A run's state without its curves: what a list of runs needs, from huge journals too."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby, islice
from pathlib import Path

from engine.contract.codec import decode_event
from engine.contract.events import AnyEvent
from engine.contract.series import StepSeries
from engine.contract.state import RunState
from engine.runs.journal import EVENTS, Lines

_STEPS = b'{"event":"StepsTrained"'


class _NoSeries(StepSeries):
    """A curve that is not kept: a list of runs shows none."""

    def put(self, first_step: int, values: object) -> None:
        pass


class Sketch:
    """The fold of a run without its curves, brought up to date as its journal grows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guard = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._lines = Lines(self._folder / EVENTS)
        self._state = RunState(loss=_NoSeries(), lr=_NoSeries(), throughput=_NoSeries())

    def update(self) -> RunState:
        with self._guard:
            while lines := self._lines.chunk():
                if self._lines.restarts:
                    self._begin()
                    continue
                for event in _telling(lines):
                    self._state.apply(event)
            return self._state


def _telling(lines: Iterable[bytes]) -> Iterator[AnyEvent]:
    """The events in `lines`; of steps in a row only the last, which is all that a sketch takes."""
    for is_steps, stretch in groupby(lines, lambda line: line.startswith(_STEPS)):
        if is_steps:
            newest_first = reversed(list(stretch))
            yield from islice(_readable(newest_first), 1)
        else:
            yield from _readable(stretch)


def _readable(lines: Iterable[bytes]) -> Iterator[AnyEvent]:
    for line in lines:
        with suppress(ValueError, RecursionError):
            yield decode_event(line)
