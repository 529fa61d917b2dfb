"""Hardware as it is now: readings, limits of containers, GPUs through a stand-in for NVML."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace as Values
from typing import Any

import psutil
import pytest

from engine import hardware
from engine.hardware import limits, nvidia, processor, use
from engine.hardware.nvidia import Gpu, GpuProcess, Nvidia

MIB = 1024**2


class NVMLError(Exception):
    """The base of the library's errors, as in pynvml."""


class NVMLError_LibraryNotFound(NVMLError):  # noqa: N801, N818 (as in pynvml)
    pass


class NVMLError_NotSupported(NVMLError):  # noqa: N801, N818
    pass


class Nvml:
    """The part of pynvml that is used, for given GPUs."""

    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, gpus: list[dict[str, Any]], failure: NVMLError | None = None) -> None:
        self.gpus, self.failure, self.started = gpus, failure, 0

    def nvmlInit(self) -> None:  # noqa: N802
        self.started += 1
        if self.failure:
            raise self.failure

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:  # noqa: N802
        if "lost" in self.gpus[index]:
            raise NVMLError("GPU is lost")
        return self.gpus[index]

    def __getattr__(self, name: str) -> Any:
        assert name.startswith("nvmlDeviceGet")
        key = name.removeprefix("nvmlDeviceGet")

        def read(handle: dict[str, Any], *_: object) -> Any:
            if key not in handle:
                raise NVMLError_NotSupported("Not Supported")
            return handle[key]

        return read


def busy_gpu(*compute: Values, graphics: tuple[Values, ...] = ()) -> dict[str, Any]:
    return {
        "Name": "NVIDIA H100",
        "UUID": "GPU-1",
        "UtilizationRates": Values(gpu=75, memory=10),
        "MemoryInfo": Values(used=3 * MIB, total=80 * MIB),
        "Temperature": 61,
        "PowerUsage": 350_500,
        "EnforcedPowerLimit": 700_000,
        "ComputeRunningProcesses": list(compute),
        "GraphicsRunningProcesses": list(graphics),
    }


def on_gpu(pid: int, memory: int | None) -> Values:
    return Values(pid=pid, usedGpuMemory=memory)


def test_a_gpu_tells_all() -> None:
    me = psutil.Process()
    nvml = Nvml([busy_gpu(on_gpu(os.getpid(), 2 * MIB))])
    [gpu], reason = Nvidia(nvml).gpus()
    assert reason == ""
    assert gpu == Gpu(
        index=0,
        name="NVIDIA H100",
        uuid="GPU-1",
        load=0.75,
        memory_used=3 * MIB,
        memory_total=80 * MIB,
        temperature=61,
        power=350.5,
        power_limit=700.0,
        processes=[GpuProcess(os.getpid(), me.username(), me.name(), 2 * MIB)],
    )


def test_a_gpu_that_tells_little_is_shown_with_gaps() -> None:
    [gpu], _ = Nvidia(Nvml([{"Name": "Old"}])).gpus()
    assert gpu == Gpu(index=0, name="Old")


def test_a_lost_gpu_does_not_hide_the_others() -> None:
    first, second = Nvidia(Nvml([{"lost": True}, {"Name": "Fine"}])).gpus()[0]
    assert (first.name, first.trouble) == ("GPU 0", "It can't be read (GPU is lost).")
    assert (second.name, second.trouble) == ("Fine", "")


def test_hidden_processes_have_no_names_and_the_largest_comes_first() -> None:
    missing = 2**22 + 1  # above the kernel's largest process id
    nvml = Nvml(
        [
            busy_gpu(
                on_gpu(missing, None),
                on_gpu(missing + 1, 5 * MIB),
                graphics=(on_gpu(missing + 2, 7 * MIB),),
            )
        ]
    )
    [gpu], _ = Nvidia(nvml).gpus()
    assert [(p.pid - missing, p.user, p.name, p.memory) for p in gpu.processes] == [
        (2, "", "", 7 * MIB),
        (1, "", "", 5 * MIB),
        (0, "", "", None),
    ]


def test_nvml_is_started_once() -> None:
    nvml = Nvml([{"Name": "One"}])
    gpus = Nvidia(nvml)
    gpus.gpus()
    gpus.gpus()
    assert nvml.started == 1


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (NVMLError_LibraryNotFound("x"), "No NVIDIA driver is installed here."),
        (NVMLError("so \x1b[1modd"), "The NVIDIA driver can't be used (so odd)."),
        (None, "The NVIDIA driver finds no GPU."),
    ],
)
def test_no_gpu_has_a_reason_in_words(failure: NVMLError | None, reason: str) -> None:
    assert Nvidia(Nvml([], failure)).gpus() == ([], reason)


def test_every_reason_belongs_to_an_error_of_the_library() -> None:
    import pynvml

    pynvml._extractNVMLErrorsAsClasses()
    assert all(issubclass(getattr(pynvml, name), pynvml.NVMLError) for name in nvidia._NO_DRIVER)


def test_the_functions_asked_are_the_librarys() -> None:
    import pynvml

    asked = [f"nvmlDeviceGet{name}" for name in busy_gpu()]
    assert all(callable(getattr(pynvml, name)) for name in asked)


def test_a_snapshot_is_of_this_machine() -> None:
    seen = hardware.snapshot()
    assert seen.cpu.name
    assert len(seen.cpu.loads) == len(os.sched_getaffinity(0))
    assert all(0 <= load <= 1 for load in seen.cpu.loads)
    assert 0 < seen.cpu.memory_used < seen.cpu.memory_total
    assert bool(seen.no_gpu) == (not seen.gpus)


def test_load_is_what_was_busy_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    def at(busy: float, idle: float) -> Values:
        return Values(user=busy, nice=0.0, system=0.0, idle=idle, iowait=1.0, guest=busy)

    readings = iter([[at(0, 0), at(0, 0)], [at(3, 1), at(0, 4)], [at(3, 5), at(2, 6)]])
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: next(readings))
    monkeypatch.setattr(processor, "_FIRST_INTERVAL", 0)
    meter = processor._Meter()
    assert meter.loads() == [0.75, 0.0]
    assert meter.loads() == [0.0, 0.5]


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(limits, "ROOT", tmp_path)
    monkeypatch.setattr(limits, "MEMBERSHIP", tmp_path / "membership")
    return tmp_path


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_no_control_groups_no_limits(cgroup: Path) -> None:
    assert limits.memory() is None
    assert limits.cpu_quota() is None


def test_limits_of_version_2(cgroup: Path) -> None:
    """The tightest on the way up counts; file cache that can go is not used memory."""
    write(cgroup, membership="0::/outer/inner")
    write(cgroup / "outer", memory__max="4000", memory__current="1500", cpu__max="250000 100000")
    write(cgroup / "outer", memory__stat="anon 1000\ninactive_file 300")
    write(cgroup / "outer/inner", memory__max="max", memory__current="700", cpu__max="max 100000")
    assert limits.memory() == limits.Memory(used=1200, total=4000)
    assert limits.cpu_quota() == 2.5


def test_limits_of_version_1(cgroup: Path) -> None:
    """In a container the path is the host's, and the mount's root is the container's group."""
    write(cgroup, membership="4:memory:/docker/x\n1:cpu,cpuacct:/docker/x\n0::/")
    write(cgroup / "memory", memory__limit_in_bytes="8000", memory__usage_in_bytes="5000")
    write(cgroup / "memory", memory__stat="total_inactive_file 4000")
    write(cgroup / "cpu", cpu__cfs_quota_us="150000", cpu__cfs_period_us="100000")
    assert limits.memory() == limits.Memory(used=1000, total=8000)
    assert limits.cpu_quota() == 1.5


def test_no_limit_in_version_1(cgroup: Path) -> None:
    write(cgroup, membership="1:cpu,cpuacct:/")
    write(cgroup / "cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert limits.cpu_quota() is None


def test_a_containers_memory_is_the_computers(
    cgroup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(cgroup, membership="0::/", memory__max="5000", memory__current="2000")
    seen = processor.cpu()
    assert (seen.memory_used, seen.memory_total) == (2000, 5000)
    write(cgroup, memory__max=str(2**62))
    assert processor.cpu().memory_total == psutil.virtual_memory().total


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[bytes]]:
    """A process that idles, with a child that is busy."""
    code = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'print(flush=True)\\nwhile True: pass']).wait()"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert worker.stdout
    worker.stdout.readline()
    yield worker
    for member in [*psutil.Process(worker.pid).children(), worker]:
        member.kill()
    worker.communicate()


def test_a_run_takes_what_its_children_take(
    busy: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    [child] = psutil.Process(busy.pid).children()
    nvml = Nvml([busy_gpu(on_gpu(child.pid, 6 * MIB), on_gpu(1, MIB))])
    monkeypatch.setattr(nvidia, "shared", lambda: Nvidia(nvml))
    first = hardware.process(busy.pid)
    assert first
    assert first.cpu is None
    assert first.threads >= 2
    assert first.memory > child.memory_info().rss
    assert first.gpu_memory == 6 * MIB
    spent = sum(child.cpu_times()[:2])
    while sum(child.cpu_times()[:2]) < spent + 0.2:
        pass
    second = hardware.process(busy.pid)
    assert second
    assert second.cpu
    assert second.cpu > 0


def test_a_run_on_no_gpu_has_no_gpu_memory(
    busy: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvidia, "shared", lambda: Nvidia(Nvml([busy_gpu(on_gpu(1, MIB))])))
    taken = hardware.process(busy.pid)
    assert taken
    assert taken.gpu_memory is None


def test_a_process_that_is_gone_takes_nothing() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert hardware.process(ended.pid) is None


def test_cores_are_time_spent_over_time_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = use._Reading
    monkeypatch.setattr(use, "_before", {})
    assert use._cores(1, reading(10.0, {(1, 0.0): 5.0})) is None
    later = reading(12.0, {(1, 0.0): 6.0, (2, 11.0): 2.0})
    assert use._cores(1, later) == 1.5
    another = reading(14.0, {(1, 13.0): 1.0})  # the id was given to a new process
    assert use._cores(1, another) is None
