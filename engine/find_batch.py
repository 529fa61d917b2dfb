"""The batch size from which on larger ones hardly train faster, or that memory still has room for.

Sizes double, as in Lightning's batch-size scaler, but each is measured, and where the host's own
memory is at stake the search ends before it is gone: Linux would not refuse it, but kill.
"""

import time
from collections.abc import Iterator
from itertools import islice
from statistics import median

import torch
from msgspec.structs import replace

from engine import memory
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.finding import SizeTried, Suggested
from engine.data.batch import Batch, Inputs, on_each
from engine.find_lr import for_search
from engine.loop import take_step
from engine.oom import is_out_of_memory
from engine.peak import Peak
from engine.session import Session

_FIRST, _LARGEST = 2, 65_536
"""BatchNorm can't train on one; a config takes no more."""
_STEPS = 4
"""An epoch has so many at least, of whatever size is tried."""
_LOOKED_AT, _READ = 4, 32
"""Batches of the data, of which the one with the largest samples is taken, and how large they are
at most."""
_SECONDS, _FEWEST, _MOST = 1.0, 2, 50
"""How long a size is measured, and in how many steps."""
_SHARE = 0.5
"""Of the free memory of the host that the next size may take, as is foreseen."""
_GAIN, _IN_VAIN = 1.05, 2
"""A size is faster than all before by this factor, or in vain; after so many in a row it's over."""
_NEARLY = 0.9
"""Of the highest throughput: the smallest size that has so much is suggested."""
_AGREES = 0.15
"""As a share, how much less or more the suggested size may have when it is measured again."""
_STILL = 1e-8
"""Rate of the steps: real updates, of weights that stay finite, since other numbers may be slow."""


def for_sizes(config: Config) -> Config:
    """`find_lr.for_search`, with little to read."""
    searched = for_search(config)
    data = replace(config.data, batch_size=min(_READ, config.data.batch_size), workers=0)
    return replace(searched, data=data)


def find_batch(session: Session) -> Iterator[SizeTried | Suggested]:
    """Measure sizes from 2 on, and suggest the smallest with 90 % of the best throughput.

    Samples are some of the training data, over and over: reading is left out. It ends where an
    epoch would have fewer than four steps, where memory is or would be short, or after two sizes
    that were no faster. The suggested size is measured twice, and it is said where the two differ:
    then the others are no surer. The session, of a config `for_sizes`, is used up. Raises
    `UserError` where not even the smallest fits.
    """
    began, sample = time.monotonic(), _sample(session)
    peak, before, tried = Peak(session.device.torch_device), memory.taken(), list[SizeTried]()
    size, why, samples = _FIRST, "", session.train_data.samples
    while not why:
        measured = _measure(session, sample, size, peak)
        if measured is None:
            why = f"There was not enough memory for {size}."
            break
        yield measured
        tried.append(measured)
        size *= 2
        if size > min(samples // _STEPS, _LARGEST):
            why = f"Of {samples:,} training samples larger ones would leave few steps an epoch."
        elif _in_vain(tried) >= _IN_VAIN:
            last = " and ".join(str(x.size) for x in tried[-_IN_VAIN:])
            why = f"{last} were hardly faster than smaller ones."
        elif session.device.torch_device.type != "cuda":
            why = _short(size, foreseen(before, [x.memory for x in tried]))
    if not tried:
        raise UserError(
            f"There is not enough memory to train on {size} samples at once: freeze more of the "
            "model, or take smaller samples."
        )
    if any(not p.requires_grad for p in session.module.parameters()):
        why += (
            " What is frozen was computed in each step; training.cache saves that where it applies."
        )
    chosen, how = _choice(tried)
    doubt = _doubt(chosen, _measure(session, sample, chosen.size, peak))
    took = time.monotonic() - began
    yield Suggested(value=chosen.size, why=f"{chosen.size} {how}. {why}{doubt}", seconds=took)


def foreseen(before: int, peaks: list[int]) -> int:
    """The peak of memory at the next size, of peaks at sizes that doubled; bytes.

    What grows with the size doubles. After one size nobody knows what that is: all since `before`.
    """
    base = peaks[-2] if len(peaks) > 1 else before
    growth = max(0, peaks[-1] - base)
    return peaks[-1] + (2 * growth if len(peaks) > 1 else growth)


def _short(size: int, peak: int) -> str:
    """Why a size with such a peak is not tried; empty where there is room."""
    needed, free = peak - memory.taken(), memory.free()
    if needed <= _SHARE * free:
        return ""
    gib = 2**30
    return (
        f"{size} would take about {needed / gib:.1f} GiB more, of {free / gib:.1f} GiB that are "
        "free: not tried."
    )


def _in_vain(tried: list[SizeTried]) -> int:
    """How many of the last sizes were no faster than the best before."""
    best, count = 0.0, 0
    for one in tried:
        faster = one.samples_per_second > _GAIN * best
        best, count = max(best, one.samples_per_second), 0 if faster else count + 1
    return count


def _choice(tried: list[SizeTried]) -> tuple[SizeTried, str]:
    """The size to suggest, and what speaks for it."""
    best = max(tried, key=lambda x: x.samples_per_second)
    enough = _NEARLY * best.samples_per_second
    chosen = next(x for x in tried if x.samples_per_second >= enough)
    if chosen is best:
        return best, "is the fastest"
    share = int(100 * chosen.samples_per_second / best.samples_per_second)
    return chosen, f"has {share} % of the throughput of {best.size}, the fastest"


def _doubt(first: SizeTried, again: SizeTried | None) -> str:
    """What is to be thought of figures that don't come out the same twice; else empty."""
    if again is None:
        return f" Measured again, there was not enough memory for {first.size}: take less."
    more = again.samples_per_second / first.samples_per_second - 1
    if abs(more) <= _AGREES:
        return ""
    by = f"{100 * abs(more):.0f} % {'more' if more > 0 else 'less'}"
    return (
        f" Measured again, {first.size} had {by}, so the other figures are no surer: where "
        "something else keeps this machine busy, look again once it doesn't."
    )


def _measure(session: Session, sample: Batch, size: int, peak: Peak) -> SizeTried | None:
    """Steps on batches of `size`; None, with the memory given back, where that is short."""
    config = session.config
    session.config = replace(
        config,
        data=replace(config.data, batch_size=size),
        training=replace(config.training, accumulate=1),
    )
    session.progress.base_lr = _STILL
    batch = _of_size(sample, size)
    if session.device.torch_device.type == "cuda":
        batch = batch.pin_memory()
    peak.restart()
    if seconds := _seconds(session, batch):
        speed = size / median(seconds)
        return SizeTried(size=size, samples_per_second=speed, memory=peak.bytes)
    session.reopen_data()
    session.drop_gradients()
    session.device.free_cached()
    return None


def _seconds(session: Session, batch: Batch) -> list[float]:
    """Of each step but the first, in which much is allocated; none where memory is short."""
    seconds: list[float] = []
    try:
        _step(session, batch)
        while len(seconds) < _FEWEST or (sum(seconds) < _SECONDS and len(seconds) < _MOST):
            began = time.perf_counter()
            _step(session, batch)
            seconds.append(time.perf_counter() - began)
    except Exception as error:
        if is_out_of_memory(error.__cause__ or error):
            return []
        raise
    return seconds


def _step(session: Session, batch: Batch) -> None:
    session.progress.batch = 0
    session.feed(batch)
    take_step(session)
    session.pending.flush()
    session.device.wait()


def _sample(session: Session) -> Batch:
    """Of the first batches the one with the largest samples: of texts, the longest."""
    read = (x for x in islice(session.train_data.epoch(1), _LOOKED_AT) if len(x))
    largest = max(read, key=lambda x: _elements(x.inputs) / len(x), default=None)
    if largest is None:
        raise UserError("data.path: no training sample could be read, so there is nothing to try.")
    return largest


def _elements(inputs: Inputs) -> int:
    tensors = inputs.values() if isinstance(inputs, dict) else [inputs]
    return sum(tensor.numel() for tensor in tensors)


def _of_size(sample: Batch, size: int) -> Batch:
    rows = torch.arange(size) % len(sample)
    return Batch(on_each(sample.inputs, lambda x: x[rows]), sample.targets[rows])
