"""The most memory that the process that trains had at once."""

import resource
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_HIGH_WATER = "5"
"""What makes Linux forget the peak: proc(5), /proc/pid/clear_refs."""


class Peak:
    """On CUDA that of tensors, elsewhere that of all that is resident.

    Where it can't be forgotten (macOS, some containers) it is that of the process's whole life; on
    MPS it is what is taken at the time of asking.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def restart(self) -> None:
        """Forget the peak so far."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            with suppress(OSError):
                _CLEAR.write_text(_HIGH_WATER)

    @property
    def bytes(self) -> int:
        """Since `restart`."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        if self._device.type == "mps":
            return torch.mps.driver_allocated_memory()
        with suppress(OSError, StopIteration):
            lines = _STATUS.read_text().splitlines()
            return 1024 * int(next(x for x in lines if x.startswith("VmHWM")).split()[1])
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most


def resident() -> int:
    """Bytes of this process that are in memory now."""
    return int(psutil.Process().memory_info().rss)
