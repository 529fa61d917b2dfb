"""What a run loses while somebody watches it: a small model on a CPU, and the app in a terminal.

    python -m tests.benchmarks.attach_cost [ROUNDS]

A real worker trains a small network with all of the cores. Its steps a second, as its journal tells
them, are counted in turn without the app and with it attached, at several niceness. Prints the
median of the ratios, and their spread. Wanted: a loss of less than 1 %.
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import engine
from engine.contract import events as e
from engine.contract.commands import Stop
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.rules import Rule
from engine.contract.training_tables import GuardConfig, OptimizerConfig, TrainingConfig
from engine.runs.journal import event_tail
from ftui.cli.demo import FOLDER
from tests.benchmarks.terminal import OURS, Child

SIZE = (120, 40)
SECONDS, SETTLE = 12.0, 4.0
NICE = (0, 10, 19)


def config() -> Config:
    """Steps of some 10 ms that read nothing from the disk after the first epoch."""
    return Config(
        task="image-classification",
        model=ModelConfig(name="torchvision/squeezenet1_1", weights="none"),
        data=DataConfig(
            path=str(FOLDER / "pictures"), image_size=32, batch_size=16, augment="none"
        ),
        trainable=[Rule("*")],
        optimizer=OptimizerConfig(lr=1e-3),
        training=TrainingConfig(epochs=100_000, cache="off", precision="fp32", channels_last=False),
        guard=GuardConfig(rollbacks=0),
    )


def speed(folder: Path, seconds: float) -> float:
    """Steps a second of training, evaluations left out, over the next seconds."""
    tail = event_tail(folder)
    while tail.chunk():
        pass
    rates: list[tuple[float, int]] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rates += [
            (event.samples_per_second, len(event.loss))
            for event in tail.chunk()
            if isinstance(event, e.StepsTrained)
        ]
        time.sleep(0.05)
    steps = sum(count for _, count in rates)
    return steps / sum(count / rate for rate, count in rates)


def watched(folder: Path, nice: int) -> float:
    """Likewise with the app attached."""
    command = [sys.executable, "-c", OURS, "attach", str(folder)]
    child = Child(["nice", "-n", str(nice), *command], *SIZE)
    try:
        child.read_until("1 Model")
        _reading(child, SETTLE, None)
        return _reading(child, SECONDS, folder)
    finally:
        child.process.kill()
        child.process.wait()
        os.close(child.fd)


def _reading(child: Child, seconds: float, folder: Path | None) -> float:
    """As a terminal does: else the app would wait for it."""
    pid = os.fork()
    if pid == 0:
        while True:
            child.read(1.0)
    try:
        if folder is None:
            time.sleep(seconds)
            return 0.0
        return speed(folder, seconds)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


async def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as runs:
        run = await engine.start(config(), Path(runs))
        async for event in run.events():
            if isinstance(event, e.Evaluated) and event.epoch > 1:
                break
        ratios: dict[int, list[float]] = {nice: [] for nice in NICE}
        for _ in range(rounds):
            for nice in NICE:
                before = speed(run.folder, SECONDS)
                during = watched(run.folder, nice)
                after = speed(run.folder, SECONDS)
                ratios[nice].append(during / ((before + after) / 2))
        print(f"{after:.0f} samples a second alone")
        for nice, found in ratios.items():
            low, high = min(found), max(found)
            print(
                f"app at nice {nice:2}: {median(found):.3f} of the speed ({low:.3f} to {high:.3f})"
            )
        await run.send(Stop())


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
