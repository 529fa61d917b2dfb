"""Load, memory and temperature of the processors that this process may use."""

import platform
import threading
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

import psutil
from msgspec import Struct

from engine import cores
from engine.contract.text import plain
from engine.hardware import limits

_FIRST_INTERVAL = 0.1
_CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "acpitz")


class Cpu(Struct, frozen=True):
    """The processors, seen from this process: a container's limits are the computer's size."""

    name: str
    loads: list[float]
    """Of each core that this process may run on, 0 to 1."""
    load: float
    """Mean of `loads`."""
    quota: float | None
    """Cores' worth of time that a container grants; None where it does not limit it."""
    memory_used: int
    """Bytes."""
    memory_total: int
    """Bytes."""
    temperature: float | None
    """Of the hottest core, in degrees Celsius."""


class _Times(NamedTuple):
    busy: float
    all: float


class _Meter:
    """Loads of the cores between two readings."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._before: list[_Times] = []

    def loads(self) -> list[float]:
        with self._guard:
            if not self._before:
                self._before = _times()
                time.sleep(_FIRST_INTERVAL)
            before, self._before = self._before, _times()
            return [_load(*pair) for pair in zip(before, self._before, strict=False)]


_meter = _Meter()


def cpu() -> Cpu:
    loads = _meter.loads()
    allowed = [loads[core] for core in cores.usable() if core < len(loads)] or loads
    used, total = _memory()
    return Cpu(
        name=_name(),
        loads=allowed,
        load=sum(allowed) / max(1, len(allowed)),
        quota=limits.cpu_quota(),
        memory_used=used,
        memory_total=total,
        temperature=_temperature(),
    )


def _times() -> list[_Times]:
    cores = []
    for times in psutil.cpu_times(percpu=True):
        all_ = times.user + times.nice + times.system + times.idle
        all_ += sum(getattr(times, part, 0.0) for part in ("iowait", "irq", "softirq", "steal"))
        cores.append(_Times(all_ - times.idle - getattr(times, "iowait", 0.0), all_))
    return cores


def _load(before: _Times, now: _Times) -> float:
    passed = now.all - before.all
    return min(1.0, max(0.0, (now.busy - before.busy) / passed)) if passed > 0 else 0.0


def _memory() -> tuple[int, int]:
    memory = psutil.virtual_memory()
    limited = limits.memory()
    if limited and limited.total < memory.total:
        return limited.used, limited.total
    return memory.total - memory.available, memory.total


def _temperature() -> float | None:
    if not hasattr(psutil, "sensors_temperatures"):  # macOS
        return None
    try:
        chips = psutil.sensors_temperatures()
    except (OSError, ValueError):  # a sensor that tells nonsense
        return None
    for chip in _CPU_SENSORS:
        if found := [entry.current for entry in chips.get(chip, []) if entry.current]:
            return float(max(found))
    return None


@cache
def _name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2] for line in lines if line.startswith("model name"))
    return plain(next(named, "") or platform.processor() or platform.machine() or "CPU")
