"""The computer: how busy it is, who else is on its GPUs, and what the open run takes."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from engine.contract.text import plain
from ftui.bars import bar_text, spark_text
from ftui.format import cached, compiled, computing, size, speed
from ftui.panes.pane import Pane
from ftui.widgets.lines import Lines
from ftui.workspace import Workspace

if TYPE_CHECKING:  # it is imported in a thread, after the first frame
    from engine.hardware import Cpu, Gpu, GpuProcess, ProcessUse

_LABEL = 8
_BAR_LONGEST, _BAR_SHORTEST = 24, 6
_FIGURES = 19
"""Cells that the figures behind a bar would like."""
_GAP = 2
_FULL = 0.9
"""From this share on memory runs short."""


class HardwarePane(Pane):
    """Processor, memory and GPUs; `d` chooses where the draft trains."""

    number = 3
    title = "Hardware"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "device", "Device", id="hardware.device", tooltip="Where to train: the next"),
    ]

    class DeviceChosen(Message):
        """The draft is to train somewhere else."""

        def __init__(self, device: str) -> None:
            super().__init__()
            self.device = device

    def __init__(self, *, ascii_only: bool = False) -> None:
        super().__init__(ascii_only=ascii_only)
        self._lines = Lines()
        self._device = "auto"
        self._devices = ["auto", "cpu"]

    def compose(self) -> ComposeResult:
        yield self._lines

    @property
    def target(self) -> Widget:
        return self._lines

    @property
    def text(self) -> str:
        """What is to be read in it."""
        return self._lines.text

    def update(self, workspace: Workspace) -> None:
        self._device = workspace.config.training.device
        hardware = workspace.hardware
        if hardware is None:
            self._lines.say("Looking ...")
            return
        cuda = [f"cuda:{gpu.index}" for gpu in hardware.gpus]
        self._devices = ["auto", *cuda, "cpu"]
        lines = [*self._run_lines(workspace), *self._cpu_lines(hardware.cpu)]
        pid = workspace.state.pid if workspace.state else None
        for gpu in hardware.gpus:
            lines += self._gpu_lines(gpu, pid)
        if not hardware.gpus:
            words = textwrap.wrap(hardware.no_gpu, max(20, self._lines.room))
            lines += [Content.styled(line, ".muted") for line in words]
        self._lines.show(lines)

    def action_device(self) -> None:
        at = self._devices.index(self._device) if self._device in self._devices else -1
        self.post_message(self.DeviceChosen(self._devices[(at + 1) % len(self._devices)]))

    def _run_lines(self, workspace: Workspace) -> list[Content]:
        state = workspace.state
        if state is None or not state.device:
            hint = "  (d: another)" if state is None else ""
            return [Content.assemble(_label("device"), f"{self._device}{hint}"), Content("")]
        where = plain(state.device_name or state.device)
        line = f"{where}, {computing(state)}"
        fits = _LABEL + len(line) <= self._lines.room
        parts = [line] if fits else [where, computing(state)]
        lines = [
            Content.assemble(_label("" if number else "run"), part)
            for number, part in enumerate(parts)
        ]
        if workspace.use is not None:
            lines.append(Content.assemble(_label(""), _use_text(workspace.use)))
        told = [speed(state.speed)] if state.speed else []
        told += [compiled(state.compiled)] if state.compiled else []
        for words in [*told, *map(cached, state.cached.values())]:
            wrapped = textwrap.wrap(words, max(20, self._lines.room))
            lines += [Content.styled(line, ".muted") for line in wrapped]
        return [*lines, Content("")]

    def _cpu_lines(self, cpu: "Cpu") -> list[Content]:
        heat = [f"{cpu.temperature:.0f} °C"] if cpu.temperature is not None else []
        cores = f"{len(cpu.loads)}" if cpu.quota is None else f"{cpu.quota:g} granted"
        room = max(8, self._lines.room - _LABEL - _GAP - len(cores))
        each = spark_text(_condensed(cpu.loads, room), self.ascii_only)
        return [
            Content.assemble(_label("CPU"), (plain(cpu.name), ".strong")),
            self._load(cpu.load, heat),
            self._memory(cpu.memory_used, cpu.memory_total),
            Content.assemble(_label("cores"), each, " " * _GAP, cores),
            Content(""),
        ]

    def _gpu_lines(self, gpu: "Gpu", pid: int | None) -> list[Content]:
        lines = [Content.assemble(_label(f"GPU {gpu.index}"), (gpu.name, ".strong"))]
        if gpu.trouble:
            return [*lines, Content.styled(gpu.trouble, ".bad"), Content("")]
        heat = [f"{gpu.temperature:.0f} °C"] if gpu.temperature is not None else []
        power = [f"{gpu.power:.0f} W"] if gpu.power is not None else []
        if gpu.load is not None:
            lines.append(self._load(gpu.load, [*heat, *power]))
        if gpu.memory_used is not None and gpu.memory_total:
            lines.append(self._memory(gpu.memory_used, gpu.memory_total))
        lines += [_process_line(process, pid, self._lines.room) for process in gpu.processes]
        return [*lines, Content("")]

    def _memory(self, used: int, total: int) -> Content:
        share = used / total
        return self._bar("memory", share, [_part(used, total)], warn=share >= _FULL)

    def _load(self, share: float, more: Sequence[str]) -> Content:
        return self._bar("load", share, [f"{100 * share:3.0f} %", *more])

    def _bar(
        self, label: str, share: float, figures: Sequence[str], *, warn: bool = False
    ) -> Content:
        """A bar with as many of its figures, first ones first, as there is room for."""
        room = self._lines.room - _LABEL - 1
        width = max(_BAR_SHORTEST, min(_BAR_LONGEST, room - _FIGURES))
        texts = [(" " * _GAP).join(figures[:some]) for some in range(len(figures), 0, -1)]
        text = next((t for t in texts if len(t) <= room - width), f"{100 * share:3.0f} %")
        full, empty = bar_text(share, width, self.ascii_only)
        style = ".warn" if warn else ".accent"
        return Content.assemble(_label(label), (full, style), (empty, ".muted"), f" {text}")


def _label(text: str) -> tuple[str, str]:
    return text.ljust(_LABEL), ".muted"


def _part(used: int, total: int) -> str:
    """`1.4 of 23.5 GiB`: the unit once, where it is the same."""
    part, whole = size(used), size(total)
    unit = whole.rpartition(" ")[2]
    return f"{part.removesuffix(f' {unit}')} of {whole}"


def _use_text(use: "ProcessUse") -> str:
    cores = f"{use.cpu:.1f} cores, " if use.cpu is not None else ""
    gpu = f", {size(use.gpu_memory)} on the GPU" if use.gpu_memory else ""
    return f"{cores}{size(use.memory)}{gpu}"


def _condensed(loads: Sequence[float], most: int) -> list[float]:
    """As many means of neighbouring cores as there are cells for."""
    each = -(-len(loads) // most)
    groups = [loads[at : at + each] for at in range(0, len(loads), each)]
    return [sum(group) / len(group) for group in groups]


def _process_line(process: "GpuProcess", pid: int | None, room: int) -> Content:
    taken = size(process.memory) if process.memory is not None else "?"
    who = "this run" if process.pid == pid else f"{process.user} {process.name}".strip()
    line = Content.assemble(_label(""), f"{taken:>9}  {who or 'hidden'}")
    number = Content.styled(f" ({process.pid})", ".muted")
    return line + number if line.cell_length + number.cell_length <= room else line
