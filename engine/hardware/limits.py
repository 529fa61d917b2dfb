"""What a container grants: limits of the control groups (versions 1 and 2) above this process."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


class Memory(NamedTuple):
    """In bytes; `used` leaves out file cache that can be dropped."""

    used: int
    total: int


def memory() -> Memory | None:
    """The tightest memory limit; None where nothing limits it."""
    found = [
        *_memories("", "memory.max", "memory.current", "inactive_file"),
        *_memories(
            "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        ),
    ]
    return min(found, key=lambda m: m.total, default=None)


def cpu_quota() -> float | None:
    """The tightest limit on processor time, in cores' worth; None where nothing limits it."""
    quotas = []
    for folder in _groups(""):
        quotas.append((_read(folder / "cpu.max") + " ").split(" ")[:2])
    for folder in _groups("cpu"):
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        quotas.append([_read(folder / name) for name in names])
    limits = [int(quota) / int(period) for quota, period in quotas if quota.isdigit()]
    return min(limits, default=None)


def _memories(controller: str, limit: str, usage: str, cache: str) -> Iterator[Memory]:
    for folder in _groups(controller):
        total, used = _read(folder / limit), _read(folder / usage)
        if total.isdigit() and used.isdigit():
            stat = dict(line.split(" ", 1) for line in _read(folder / "memory.stat").splitlines())
            yield Memory(max(0, int(used) - int(stat.get(cache, 0))), int(total))


def _groups(controller: str) -> Iterator[Path]:
    """The folders of this process's group and those above it, the mount's root last."""
    for line in _read(MEMBERSHIP).splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            group = ROOT / controller / path.strip("/")
            yield group
            yield from list(group.parents)[: len(group.relative_to(ROOT / controller).parts)]


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
