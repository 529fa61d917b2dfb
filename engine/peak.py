"""The most memory that the process that trains had at once."""

import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

from engine import memory

_CLEAR = Path("/proc/self/clear_refs")
_HIGH_WATER = "5"
"""What makes Linux forget the peak: proc(5), /proc/pid/clear_refs."""


class Peak:
    """On CUDA that of tensors, elsewhere by how much the process has grown since its model was
    about to be built.

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
        if (grown := memory.grown()) is not None:
            return grown
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most
