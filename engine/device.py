"""Where to train, and how it computes there."""

import platform
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine import memory
from engine.contract.consistency import FP16_NEEDS_GPU
from engine.contract.errors import UserError
from engine.contract.speed import Speed
from engine.contract.text import plain
from engine.contract.training_tables import TrainingConfig
from engine.data.batch import Inputs, on_each


@dataclass(frozen=True)
class Device:
    """The device of a run. Built by `choose`."""

    torch_device: torch.device
    name: str
    precision: str
    """'fp32', 'bf16' or 'fp16'."""

    channels_last: bool = False
    """Whether pictures and the weights of convolutions lie in memory with channels last (NHWC)."""

    warning: str = ""
    """A sentence where it is not what somebody would expect; empty otherwise."""

    def send(self, tensor: Tensor) -> Tensor:
        """`tensor` on this device.

        CUDA need not be waited for: batches are pinned, and freed memory is not given to others
        before the copy is done. On MPS that is not so (pytorch #139550).
        """
        return tensor.to(self.torch_device, non_blocking=self.torch_device.type == "cuda")

    def send_all(self, inputs: Inputs) -> Inputs:
        """As `send`, of all that goes into a model; pictures in its layout."""
        if self.channels_last and isinstance(inputs, Tensor) and inputs.ndim == 4:
            return self.send(inputs).contiguous(memory_format=torch.channels_last)
        return on_each(inputs, self.send)

    def wait(self) -> None:
        """Until all is done that was begun on it."""
        if self.torch_device.type != "cpu":
            torch.get_device_module(self.torch_device).synchronize()

    def autocast(self) -> AbstractContextManager[object]:
        """A context that runs the forward pass in the run's precision."""
        return autocast(self.torch_device.type, self.precision)

    def scaler(self) -> torch.amp.GradScaler | None:
        """fp16 loses small gradients unless the loss is scaled up; None where there is no need."""
        return torch.amp.GradScaler(self.torch_device.type) if self.precision == "fp16" else None

    def peak_memory(self) -> int | None:
        """Bytes that the run's tensors took at most so far, on a CPU with all that its allocator
        keeps for them; None where nobody counts."""
        if self.torch_device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.torch_device)
        return memory.grown() if self.torch_device.type == "cpu" else None

    def free_cached(self) -> None:
        """Give back what the allocator of a GPU keeps for later."""
        if self.torch_device.type != "cpu":
            torch.get_device_module(self.torch_device).empty_cache()

    def rng_state(self) -> dict[str, Tensor]:
        """The generators that training draws from."""
        states = {"cpu": torch.get_rng_state()}
        if self.torch_device.type != "cpu":
            states[self.torch_device.type] = torch.get_device_module(
                self.torch_device
            ).get_rng_state()
        return states

    def set_rng_state(self, states: dict[str, Tensor]) -> None:
        """Put back what `rng_state` gave; a device that was not there then is left alone."""
        torch.set_rng_state(states["cpu"])
        if self.torch_device.type != "cpu" and self.torch_device.type in states:
            torch.get_device_module(self.torch_device).set_rng_state(states[self.torch_device.type])


def choose(config: TrainingConfig, known: Speed | None = None) -> Device:
    """The device, precision and layout that a config means, where it is open as `known`.

    Raises `UserError` where there is no such device here, or it can't do the precision.
    """
    device = _device(config.device)
    if device.type == "cuda":
        try:
            torch.cuda.set_device(device)
        except RuntimeError as error:  # taken by somebody alone, or too new or old for this torch
            raise UserError(
                f"training.device: {device} can't be used ({plain(error, 120)}); choose another."
            ) from None
    unused = torch.cuda.device_count() if device.type == "cpu" and config.device == "auto" else 0
    warning = ""
    if unused:
        warning = (
            f"There is a GPU that this torch ({torch.__version__}) can't use, perhaps for the "
            "age of its driver: training on the CPU."
        )
    on_x86 = device.type == "cpu" and platform.machine().lower() in ("x86_64", "amd64")
    if on_x86 and config.precision == "bf16" and not _cpu_computes_bf16():
        emulated = f"{_name(device)} emulates bf16: a step takes longer than in fp32."
        warning = f"{warning} {emulated}".strip()
    known = known if known and known.device == device.type else None
    asked, channels_last = config.precision, config.channels_last
    precision = known.precision if known and asked == "auto" else _precision(asked, device)
    if channels_last == "auto":
        channels_last = known.channels_last if known else False
    return Device(device, _name(device), precision, channels_last, warning)


def precisions(device: torch.device) -> list[str]:
    """What `auto` may come to on a device, the usual one first; fp16 is for those who ask."""
    if device.type == "cuda":
        return ["bf16", "fp32"] if _has_bf16(device) else ["fp32"]
    return ["fp32", "bf16"] if device.type == "cpu" and _cpu_computes_bf16() else ["fp32"]


def _cpu_computes_bf16() -> bool:
    """Other x86 processors emulate it, which takes longer than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def find(config: TrainingConfig) -> tuple[torch.device, str]:
    """As `choose`, the device and precision alone; nothing is taken of a GPU."""
    device = _device(config.device)
    return device, _precision(config.precision, device)


def autocast(kind: str, precision: str) -> AbstractContextManager[object]:
    """A context that runs the forward pass in a precision, on a kind of device."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(kind, torch.float16 if precision == "fp16" else torch.bfloat16)


def cuda_count() -> int:
    """CUDA devices that this torch can use; the driver alone may count more."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def usable() -> list[str]:
    """What `training.device` may name here, the fastest first."""
    cuda = [f"cuda:{number}" for number in range(cuda_count())]
    return [*cuda, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def _device(asked: str) -> torch.device:
    here = usable()
    wanted = {"auto": here[0], "cuda": "cuda:0"}.get(asked, asked)
    if wanted not in here:
        raise UserError(
            f'training.device: there is no "{asked}" that torch can use here; '
            f"there is {', '.join(here)}."
        )
    return torch.device(wanted)


def _precision(asked: str, device: torch.device) -> str:
    if asked == "auto":
        return precisions(device)[0]
    if asked == "bf16" and not _has_bf16(device):
        raise UserError(f"training.precision: {_name(device)} has no bf16; take fp16 or fp32.")
    if asked == "fp16" and device.type == "cpu":
        raise UserError(FP16_NEEDS_GPU)
    return asked


def _has_bf16(device: torch.device) -> bool:
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
