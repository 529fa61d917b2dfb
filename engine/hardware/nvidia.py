"""NVIDIA GPUs by NVML, the library below nvidia-smi."""

import threading
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import psutil
import pynvml
from msgspec import Struct

from engine.contract.text import plain

T = TypeVar("T")

_NO_DRIVER = {
    "NVMLError_LibraryNotFound": "No NVIDIA driver is installed here.",
    "NVMLError_DriverNotLoaded": "The NVIDIA driver is installed, but not loaded.",
    "NVMLError_NoPermission": "You may not use the NVIDIA driver here.",
    "NVMLError_LibRmVersionMismatch": "The NVIDIA driver was updated; it needs a restart first.",
}


class GpuProcess(Struct, frozen=True):
    """Somebody on a GPU; names are empty where the process is hidden, as in a container."""

    pid: int
    user: str
    name: str
    memory: int | None
    """Bytes of the GPU's memory."""


class Gpu(Struct, frozen=True):
    """One GPU; None where the driver doesn't tell."""

    index: int
    """In the order of nvidia-smi, which CUDA's may differ from; `uuid` tells for certain."""
    name: str
    uuid: str | None = None
    load: float | None = None
    """Share of the time that something ran on it, 0 to 1."""
    memory_used: int | None = None
    """Bytes."""
    memory_total: int | None = None
    """Bytes."""
    temperature: float | None = None
    """Degrees Celsius."""
    power: float | None = None
    """Watts."""
    power_limit: float | None = None
    """Watts."""
    processes: list[GpuProcess] = []
    trouble: str = ""
    """Why it can't be read, such as a GPU that fell off the bus."""


class Nvidia:
    """NVML, initialised when it is first asked; `nvml` is the module `pynvml`."""

    def __init__(self, nvml: Any = pynvml) -> None:
        self._nvml = nvml
        self._guard = threading.Lock()
        self._reason: str | None = None  # None: not tried yet

    def gpus(self) -> tuple[list[Gpu], str]:
        """Every GPU, and a sentence where there is none."""
        with self._guard:
            if self._reason is None:
                self._reason = self._begin()
            if self._reason:
                return [], self._reason
            count = self._maybe(self._nvml.nvmlDeviceGetCount) or 0
            found = [self._gpu(index) for index in range(count)]
        return found, "" if found else "The NVIDIA driver finds no GPU."

    def memory_of(self, pids: set[int]) -> int | None:
        """Bytes of GPU memory that these processes take; None where they are on no GPU."""
        gpus, _ = self.gpus()
        taken = [p.memory for gpu in gpus for p in gpu.processes if p.pid in pids]
        known = [memory for memory in taken if memory is not None]
        return sum(known) if known else None

    def _begin(self) -> str:
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            told = _NO_DRIVER.get(type(error).__name__)
            return told or f"The NVIDIA driver can't be used ({plain(error)})."
        return ""

    def _gpu(self, index: int) -> Gpu:
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            name = plain(nvml.nvmlDeviceGetName(handle))
        except nvml.NVMLError as error:
            return Gpu(index, f"GPU {index}", trouble=f"It can't be read ({plain(error)}).")
        use = self._maybe(nvml.nvmlDeviceGetUtilizationRates, handle)
        memory = self._maybe(nvml.nvmlDeviceGetMemoryInfo, handle)
        power = self._maybe(nvml.nvmlDeviceGetPowerUsage, handle)
        power_limit = self._maybe(nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
        return Gpu(
            index,
            name,
            uuid=self._maybe(nvml.nvmlDeviceGetUUID, handle),
            load=use.gpu / 100 if use else None,
            memory_used=memory.used if memory else None,
            memory_total=memory.total if memory else None,
            temperature=self._maybe(
                nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU
            ),
            power=power / 1000 if power is not None else None,
            power_limit=power_limit / 1000 if power_limit is not None else None,
            processes=self._processes(handle),
        )

    def _processes(self, handle: object) -> list[GpuProcess]:
        """The largest first."""
        nvml = self._nvml
        memory: dict[int, int | None] = {}
        for kind in (
            nvml.nvmlDeviceGetComputeRunningProcesses,
            nvml.nvmlDeviceGetGraphicsRunningProcesses,
        ):
            for process in self._maybe(kind, handle) or []:
                memory[process.pid] = process.usedGpuMemory
        found = [GpuProcess(pid, *_who(pid), taken) for pid, taken in memory.items()]
        return sorted(found, key=lambda process: -(process.memory or 0))

    def _maybe(self, read: Callable[..., T], *arguments: object) -> T | None:
        """What `read` returns; None where this GPU or driver doesn't tell."""
        try:
            return read(*arguments)
        except self._nvml.NVMLError:
            return None


@cache
def shared() -> Nvidia:
    """The one for this process: NVML is initialised once."""
    return Nvidia()


def _who(pid: int) -> tuple[str, str]:
    try:
        process = psutil.Process(pid)
        return plain(process.username()), plain(process.name())
    except (psutil.Error, KeyError):
        return "", ""
