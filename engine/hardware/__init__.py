"""The computer as it is now: processors, memory, NVIDIA GPUs and who is on them. No torch.

Nothing here raises: what can't be read is None, and words say why there is no GPU. Calls take
milliseconds and belong in a thread.
"""

from msgspec import Struct

from engine.hardware import nvidia
from engine.hardware.nvidia import Gpu, GpuProcess
from engine.hardware.processor import Cpu, cpu
from engine.hardware.use import ProcessUse, process

__all__ = ["Cpu", "Gpu", "GpuProcess", "Hardware", "ProcessUse", "process", "snapshot"]


class Hardware(Struct, frozen=True):
    """One look at the computer."""

    cpu: Cpu
    gpus: list[Gpu]
    no_gpu: str
    """Why `gpus` is empty, as a sentence; empty where it is not."""


def snapshot() -> Hardware:
    """How things are now. Loads are means since the call before; the first call takes 0.1 s."""
    gpus, reason = nvidia.shared().gpus()
    return Hardware(cpu(), gpus, reason)
