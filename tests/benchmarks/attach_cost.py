"""What a run loses while somebody watches it: a small model on a CPU, and the app in a terminal.

    python -m tests.benchmarks.attach_cost [PAIRS]

A real worker trains a small network with all of the cores. The app is attached to it, and in turn
frozen (SIGSTOP) and let go on: with a key every few seconds, and once nobody has pressed any for
long. Steps a second, evaluations left out, are told by the run's own journal. Prints the median of
the ratios, their lowest and highest, and the share of a core that the app took. Wanted: a loss of
less than 1 % where nobody is there.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import torch

import engine
from engine.contract import events as e
from engine.contract.commands import Stop
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.rules import Rule
from engine.contract.training_tables import GuardConfig, OptimizerConfig, TrainingConfig
from engine.runs.journal import event_tail
from ftui.cli.demo import FOLDER
from ftui.pace import ALONE
from tests.benchmarks.terminal import OURS, Child

SIZE = (120, 40)
SECONDS = 24.0
_PRESSES = 4


def config() -> Config:
    """Steps of some 10 ms that read nothing from the disk after the first epoch. With `auto` it may
    come to one thread, and then leaves a core to the app."""
    return Config(
        task="image-classification",
        model=ModelConfig(name="torchvision/squeezenet1_1", weights="none"),
        data=DataConfig(
            path=str(FOLDER / "pictures"), image_size=32, batch_size=16, augment="none"
        ),
        trainable=[Rule("*")],
        optimizer=OptimizerConfig(lr=1e-3),
        training=TrainingConfig(
            epochs=100_000,
            cache="off",
            precision="fp32",
            channels_last=False,
            threads=torch.get_num_threads(),
        ),
        guard=GuardConfig(rollbacks=0),
    )


class Speed:
    """Of a run, stretch by stretch."""

    def __init__(self, folder: Path) -> None:
        self._tail = event_tail(folder)

    def over(self, seconds: float, press: Callable[[], None] = lambda: None) -> float:
        """Samples a second of training over the next seconds; `press` is called at times."""
        self._told()
        for _ in range(_PRESSES):
            press()
            time.sleep(seconds / _PRESSES)
        rates = [(event.samples_per_second, len(event.loss)) for event in self._told()[1:]]
        return sum(count for _, count in rates) / sum(count / rate for rate, count in rates)

    def _told(self) -> list[e.StepsTrained]:
        found: list[e.StepsTrained] = []
        while chunk := self._tail.chunk():
            found += [event for event in chunk if isinstance(event, e.StepsTrained)]
        return found


@contextmanager
def attached(folder: Path) -> Iterator[Child]:
    """The app in a terminal that takes all that it writes."""
    child = Child([sys.executable, "-c", OURS, "attach", str(folder)], *SIZE)
    child.read_until("1 Model")
    if (reader := os.fork()) == 0:
        while True:
            child.read(1.0)
    try:
        yield child
    finally:
        os.kill(reader, signal.SIGKILL)
        os.waitpid(reader, 0)
        child.close()


def compare(child: Child, speed: Speed, pairs: int, press: Callable[[], None]) -> str:
    """Speeds with the app to those without, in turn; `press` is called during the first."""
    ratios, used, seconds = [], 0.0, 0.0
    for _ in range(pairs):
        os.kill(child.process.pid, signal.SIGSTOP)
        without = speed.over(SECONDS)
        os.kill(child.process.pid, signal.SIGCONT)
        cpu, began = child.cpu, time.monotonic()
        ratios.append(speed.over(SECONDS, press) / without)
        used, seconds = used + child.cpu - cpu, seconds + time.monotonic() - began
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    return f"{median(ratios):.3f} of the speed ({spread}), {used / seconds:.1%} of a core"


async def main(pairs: int) -> None:
    with tempfile.TemporaryDirectory() as runs:
        run = await engine.start(config(), Path(runs))
        async for event in run.events():
            if isinstance(event, e.Evaluated) and event.epoch > 1:
                break
        speed = Speed(run.folder)
        with attached(run.folder) as child:
            print("keys pressed:", compare(child, speed, pairs, lambda: child.send("2")))
            time.sleep(ALONE + 5)
            print("nobody there:", compare(child, speed, pairs, lambda: None))
        await run.send(Stop())


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
