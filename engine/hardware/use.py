"""What a run takes: its worker and the processes that read pictures for it."""

import threading
import time
from typing import NamedTuple

import psutil
from msgspec import Struct

from engine.hardware import nvidia


class ProcessUse(Struct, frozen=True):
    """A process with all its children."""

    cpu: float | None
    """Cores' worth of time since the call before; None on the first call."""
    memory: int
    """Resident bytes; what children share is counted in each."""
    threads: int
    gpu_memory: int | None
    """Bytes; None where it is on no GPU that can be asked."""


class _Reading(NamedTuple):
    at: float
    """Monotonic seconds."""
    spent: dict[tuple[int, float], float]
    """Processor seconds of each process, by id and time of creation."""


_before: dict[int, _Reading] = {}
_guard = threading.Lock()


def process(pid: int) -> ProcessUse | None:
    """What the process takes now; None where there is no such process."""
    try:
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return None
    spent, memory, threads = {}, 0, 0
    for member in family:
        try:
            with member.oneshot():
                times = member.cpu_times()
                spent[member.pid, member.create_time()] = times.user + times.system
                memory += member.memory_info().rss
                threads += member.num_threads()
        except psutil.Error:  # it ended meanwhile, or is a zombie
            continue
    if not spent:
        return None
    gpu_memory = nvidia.shared().memory_of({member.pid for member in family})
    return ProcessUse(_cores(pid, _Reading(time.monotonic(), spent)), memory, threads, gpu_memory)


def _cores(pid: int, now: _Reading) -> float | None:
    with _guard:
        before = _before.get(pid)
        _before[pid] = now
    if before is None or before.spent.keys().isdisjoint(now.spent) or now.at <= before.at:
        return None
    grown = sum(seconds - before.spent.get(who, 0.0) for who, seconds in now.spent.items())
    return max(0.0, grown / (now.at - before.at))
