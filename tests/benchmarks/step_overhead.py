"""What a step costs beyond the step: our loop, driven as the worker drives it, beside a bare one.

`python -m tests.benchmarks.step_overhead` prints, for a network of about 1.4 ms a step and for
resnet18 at 64 pixels, all of it trained, the time of a step and its ratio to a bare PyTorch loop:
`zero_grad`, forward, loss, backward, `step`, and nothing else. Each loop has a process of its own;
they take turns, and the ratio is the median of those paired within a round. Both have the batches
in memory. Ours has its schedule, journal, inbox, learning-rate groups and allocator besides, and
where it says so a moving average of the weights, or L2-SP; evaluations and checkpoints are left
out. `--cpu-time` (with one thread) is for a machine that others use too.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import torch
import torchvision
from rich.console import Console
from rich.table import Table
from torch import nn

from engine import memory, restore, speed
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.events import ModelCompiled
from engine.contract.preprocessing import Preprocessing
from engine.contract.rules import Rule
from engine.contract.training_tables import OptimizerConfig, RegularisationConfig, TrainingConfig
from engine.data import Batch
from engine.device import choose
from engine.loop import train
from engine.models.describe import model_info
from engine.past import Past
from engine.runs import lock
from engine.session import Session
from engine.tasks.classifying import Classifying
from engine.worker import Worker
from ftui.format import compiled
from ftui.format import speed as measured_text

spawn = get_context("spawn")

CLASSES = 7
Advance = Callable[[int], None]
"""Takes so many steps."""


def tiny() -> nn.Module:
    net = nn.Sequential(*_block(3, 16), *_block(16, 32), *_block(32, 32))
    net.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten()])
    net.add_module("fc", nn.Linear(32, CLASSES))
    return net


def resnet18() -> nn.Module:
    model: nn.Module = torchvision.models.resnet18(num_classes=CLASSES)
    return model


def _block(channels_in: int, channels: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(channels), nn.ReLU()]


class InMemory(list[Batch]):
    """One endless epoch over a few batches."""

    varies = False

    def __len__(self) -> int:
        return 10**9

    def epoch(self, _number: int, skip_batches: int = 0) -> Iterator[Batch]:
        while True:
            yield from list.__iter__(self)

    def close(self) -> None:
        pass


def bare(module: nn.Module, data: InMemory, _folder: Path, fused: bool | None) -> Advance:
    optimizer = torch.optim.SGD(
        module.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, fused=fused
    )
    criterion = nn.CrossEntropyLoss()
    batches = data.epoch(1)
    module.train()

    def advance(steps: int) -> None:
        for _ in range(steps):
            batch = next(batches)
            optimizer.zero_grad()
            criterion(module(batch.inputs), batch.targets).backward()
            optimizer.step()

    return advance


PLAIN = TrainingConfig(epochs=1, device="cpu", precision="fp32", channels_last=False)


def ours(
    module: nn.Module,
    data: InMemory,
    folder: Path,
    regularisation: RegularisationConfig | None = None,
    training: TrainingConfig = PLAIN,
) -> Advance:
    folder.mkdir()
    memory.keep_freed()
    config = Config(
        task="image-classification",
        model=ModelConfig(name="torchvision/x"),
        data=DataConfig(path="x", batch_size=len(data[0].targets)),
        trainable=[Rule("*")],
        optimizer=OptimizerConfig(lr=0.01, momentum=0.9, weight_decay=1e-4),
        training=training,
        regularisation=regularisation or RegularisationConfig(),
    )
    info = model_info("x", module, ["fc"], Preprocessing())
    classes = [str(number) for number in range(CLASSES)]
    first = restore.progress(config, info, None)
    device = choose(config.training)
    session = Session(
        config,
        folder,
        info,
        module,
        classes,
        data,
        data,
        device,
        Classifying(config, [1] * len(classes)),
        first,
    )
    restore.begin(session, Past(), None)
    if measured := speed.measure(session, known=False):
        print(measured_text(measured))
    for event in speed.compile_ahead(session, lambda _: None):
        print(compiled(event) if isinstance(event, ModelCompiled) else event)
    worker = Worker(folder, lock.take(folder), Past())
    worker.session = session
    events = train(session)

    def advance(steps: int) -> None:
        until = session.progress.step + steps
        while session.progress.step < until:
            worker.take_in(session, next(events))

    return advance


Loop = Callable[[nn.Module, InMemory, Path], Advance]
LOOPS: dict[str, Loop] = {
    "bare": partial(bare, fused=None),
    "bare, fused optimizer": partial(bare, fused=True),
    "ours": ours,
    "ours, moving average": partial(ours, regularisation=RegularisationConfig(ema=0.999)),
    "ours, L2-SP": partial(ours, regularisation=RegularisationConfig(l2_sp=0.01)),
}


class Job(NamedTuple):
    """What is measured."""

    make: Callable[[], nn.Module]
    size: int
    """Pixels a side."""
    count: int
    """Pictures a batch."""
    steps: int
    """A round."""


def host(line: Connection, loop: Loop, job: Job, threads: int, cpu_time: bool) -> None:
    """A process with one of the loops: at each word on the line it takes a round of steps, and
    answers with the seconds of one."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    clock = time.process_time if cpu_time else time.perf_counter
    images = torch.randn(4, job.count, 3, job.size, job.size)
    labels = torch.randint(0, CLASSES, (4, job.count))
    data = InMemory(Batch(x, y, []) for x, y in zip(images, labels, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        advance = loop(job.make(), data, Path(folder, "run"))
        while line.recv():
            began = clock()
            advance(job.steps)
            line.send((clock() - began) / job.steps)


def measure(
    job: Job,
    rounds: int,
    threads: int,
    cpu_time: bool,
    loops: Mapping[str, Loop] = LOOPS,
) -> Table:
    lines: dict[str, Connection] = {}
    for name, loop in loops.items():
        lines[name], theirs = spawn.Pipe()
        spawn.Process(target=host, args=(theirs, loop, job, threads, cpu_time), daemon=True).start()
    times: dict[str, list[float]] = {name: [] for name in loops}
    names = list(loops)
    for number in range(-1, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            lines[name].send(True)
            seconds = lines[name].recv()
            if number >= 0:  # the round before is for warming up
                times[name].append(seconds)
    for line in lines.values():
        line.send(False)
    title = f"{job.make.__name__}, {job.count} x {job.size} px"
    table = Table("", "ms a step", "ratio to bare", title=title)
    for name, taken in times.items():
        ratios = [one / other for one, other in zip(taken, times["bare"], strict=True)]
        millis = statistics.median(taken) * 1e3
        table.add_row(name, f"{millis:.2f}", f"{statistics.median(ratios):.3f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 2) // 2))
    parser.add_argument("--cpu-time", action="store_true")
    options = parser.parse_args()
    console = Console()
    kind = "CPU" if options.cpu_time else "wall"
    console.print(f"{kind} time, {options.threads} threads, rounds in turn")
    how = options.threads, options.cpu_time
    console.print(measure(Job(tiny, size=32, count=8, steps=60), options.rounds, *how))
    console.print(measure(Job(resnet18, size=64, count=8, steps=4), options.rounds // 3, *how))


if __name__ == "__main__":
    main()
