"""What `auto` settings come to on this machine: real passes, before the first step.

The result is kept for the life of a run (`engine.past`), as other kernels round otherwise. So a run
that repeats another one measures nothing, nor does one that is resumed.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace as replaced
from itertools import product

import torch
from msgspec.structs import replace
from torch import Tensor

from engine import running
from engine.contract.events import Event
from engine.contract.speed import SpeedMeasured, Timed
from engine.data.batch import Batch, Inputs, in_parts
from engine.device import precisions
from engine.oom import is_out_of_memory
from engine.prefix import using as prefix
from engine.session import Session
from engine.untouched import untouched

_GAIN = 1.1
"""What is not the usual way must be so much faster."""
_HOPELESS = 1.3
"""What is so much slower at its first pass gets no other."""
_ROUNDS = 3
_FEW = 4
"""Samples of the pass that says how many can be measured."""
_FEWEST_STEPS, _SHORTEST_RUN = 20, 20.0
"""Of a run that measuring can pay off for; the latter in seconds. Of steps, those that take time:
where the head alone trains from memory these are the ones of one pass over the data."""
_SHORT_STEP, _QUICK_STEP, _LONG_PASS = 0.005, 0.05, 0.4
"""In seconds. Below the first a step is overhead that none of this changes; below the second one
thread may do better than several; passes longer than the last are made with fewer samples."""
_MOST_SECONDS, _SHARE, _LEAST_SHARE = 6.0, 0.05, 0.01
"""For measuring: seconds, and the part of the run's time that it may take at most. Where even the
fewest passes take so long, they are made if they are below the least share of the run's time."""
_FEWEST_PASSES = 6


def measure(
    session: Session, known: bool, tell: Callable[[str], None] = lambda _: None
) -> SpeedMeasured | None:
    """Have the fastest of what the config leaves open; None where nothing was to be measured.

    `known` says that the run has computed before; `tell` hears of it where it begins. Weights,
    buffers, gradients and generators are left as they were.
    """
    steps = _passes(session) * len(session.train_data)
    if known or not session.at_start or session.script or steps < _FEWEST_STEPS:
        return None
    usual = _now(session)
    if len(list(_others(session, usual, quick=True))) == 0:
        return None
    tell("measuring what is fastest here")
    batch = next((b for b in session.train_data.epoch(1) if len(b) > 1), None)
    try:
        with _aside(session):
            if batch is None:
                return None
            passes = _Passes.of(session, batch)
            told = _race(passes, lambda quick: [usual, *_others(session, usual, quick)], steps)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        told = None  # the loop knows what to do
    _use(session, told.tried[told.chosen] if told else usual)
    return told


def _passes(session: Session) -> int:
    """Over the data, of those that cost time: where only the head trains, what is remembered before
    it leaves next to nothing for the later ones."""
    trained = [name for name, p in session.module.named_parameters() if p.requires_grad]
    heads = tuple(f"{path}." for path in session.info.head)
    alone = all(name.startswith(heads) for name in trained)
    return 1 if alone and not prefix.why_not(session) else session.config.training.epochs


def compile_ahead(session: Session, tell: Callable[[str], None]) -> Iterator[Event]:
    """Compile the passes of training before the first step, where the config asks for it, and say
    what it took and gave. Nothing of the session is changed otherwise."""
    made = session.compiled
    if made is None or session.done:
        return
    tell("compiling the passes of training")
    size, way = session.config.data.batch_size, _now(session)
    whole = (b for b in session.train_data.epoch(session.progress.epoch) if len(b) == size)
    try:
        with _aside(session):
            if (batch := next(whole, None)) is None:
                return
            passes = _Passes.of(session, batch)
            uncompiled = passes.quickest(way)
            session.compiled = made
            gain = uncompiled / passes.quickest(way)
    except Exception as error:  # the backward pass may be compiled only when it is first run
        if not is_out_of_memory(error):  # with that, the loop knows what to do
            made.fail(error)
        gain = None
    yield from running.compiled(session, gain)


@contextmanager
def _aside(session: Session) -> Iterator[None]:
    """Passes within go uncompiled, and leave no trace in the session."""
    compiled, session.compiled = session.compiled, None
    try:
        with untouched(session.module, session.device):
            yield
    finally:
        session.compiled = compiled
        session.reopen_data()
        session.device.free_cached()
        session.pending.restart_clock()


class _Passes:
    """Forward and backward passes over some samples, timed."""

    def __init__(self, session: Session, inputs: Inputs, targets: Tensor) -> None:
        self._session, self._inputs, self._targets = session, inputs, targets

    @classmethod
    def of(cls, session: Session, batch: Batch) -> "_Passes":
        """Over what of a batch goes through the model at once."""
        session.pending.add_skipped(batch.skipped)
        count = session.pieces_of(len(batch))
        return cls(session, *in_parts(batch.inputs, batch.targets, count)[0])

    def __len__(self) -> int:
        """Samples in each."""
        return len(self._targets)

    def first(self, samples: int) -> "_Passes":
        """Likewise of so many samples, or a few more."""
        parts = in_parts(self._inputs, self._targets, max(1, len(self) // samples))
        return _Passes(self._session, *parts[0])

    def take(self, way: Timed) -> float:
        """Seconds of one."""
        session = self._session
        _use(session, way)
        device = session.device
        try:
            device.wait()
            began = time.perf_counter()
            with device.autocast():
                said = running.outputs(session, session.send(self._inputs))
                loss = session.objective.loss(said, device.send(self._targets))
            torch.autograd.backward(loss)
            device.wait()
            return time.perf_counter() - began
        finally:
            session.drop_gradients()

    def quickest(self, way: Timed) -> float:
        """Of two; a first one chooses kernels."""
        self.take(way)
        return min(self.take(way), self.take(way))


def _race(passes: _Passes, ways: Callable[[bool], list[Timed]], count: int) -> SpeedMeasured | None:
    """`ways` gives what to try, the usual way first, for quick steps or not; the run will take
    `count` passes."""

    def whole_run(seconds: float, of: _Passes) -> float:
        return seconds * count * len(passes) / len(of)

    few = passes.first(_FEW)
    seconds = few.take(usual := ways(False)[0])
    if whole_run(seconds, few) < _SHORTEST_RUN:  # a first pass is a slow one
        return None
    some = passes.first(max(2, int(len(few) * _LONG_PASS / seconds)))
    some.take(usual)
    took = some.take(usual)
    ahead = whole_run(took, some)
    if took < _SHORT_STEP or ahead < _SHORTEST_RUN:
        return None
    if took * _FEWEST_PASSES > max(_MOST_SECONDS, _LEAST_SHARE * ahead):
        return None
    until = time.monotonic() + min(_MOST_SECONDS, _SHARE * ahead)
    best = {usual: took}
    best |= {way: _second(some, way) for way in ways(took < _QUICK_STEP)[1:]}
    near = [way for way in best if best[way] < _HOPELESS * took]
    for way in _ROUNDS * near:
        if len(near) > 1 and time.monotonic() < until:
            best[way] = min(best[way], some.take(way))
    tried = [replace(way, milliseconds=1e3 * seconds) for way, seconds in best.items()]
    fastest = min(range(len(tried)), key=lambda x: tried[x].milliseconds)
    gains = tried[0].milliseconds >= _GAIN * tried[fastest].milliseconds
    return SpeedMeasured(tried, fastest if gains else 0, len(some))


def _second(passes: _Passes, way: Timed) -> float:
    """Seconds of a second pass; a whole day where memory is short."""
    try:
        passes.take(way)
        return passes.take(way)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return 86400.0


def _now(session: Session) -> Timed:
    on_cpu = session.device.torch_device.type == "cpu"
    threads = torch.get_num_threads() if on_cpu else None
    return Timed(session.device.precision, session.device.channels_last, threads, 0.0)


def _others(session: Session, usual: Timed, quick: bool) -> Iterator[Timed]:
    """What the config leaves open beside `usual`; numbers of threads only for `quick` steps."""
    training, where = session.config.training, session.device.torch_device
    types = precisions(where) if training.precision == "auto" else [usual.precision]
    layouts = [usual.channels_last]
    pictures = any(p.ndim == 4 for p in session.module.parameters())
    if training.channels_last == "auto" and pictures:
        layouts.append(not usual.channels_last)
    threads = [usual.threads]
    free = training.threads == "auto" and "OMP_NUM_THREADS" not in os.environ
    if quick and free and usual.threads and usual.threads > 1:
        threads.append(1)
    for precision, channels_last, number in product(types, layouts, threads):
        way = Timed(precision, channels_last, number, 0.0)
        if way != usual:
            yield way


def _use(session: Session, way: Timed) -> None:
    if way.threads and way.threads != torch.get_num_threads():
        torch.set_num_threads(way.threads)
    device = session.device
    if (way.precision, way.channels_last) != (device.precision, device.channels_last):
        session.use(replaced(device, precision=way.precision, channels_last=way.channels_last))
