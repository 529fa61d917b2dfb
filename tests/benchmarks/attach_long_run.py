"""From a key press to the whole curve of a run of 1,000,000 steps.

`python -m tests.benchmarks.attach_long_run` writes the journal that such a run leaves, once with 20
steps a line, as a fast run writes them, and once with one step a line, as one of 4 steps a second
or slower does, and opens the app on it in a terminal of 120x40. Wanted: under 2 s, and memory that
does not grow with the journal's size but with the curve's.
"""

import math
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from engine.contract import events as e
from tests.benchmarks.live_feed import OURS, SIZE
from tests.benchmarks.terminal import Child
from tests.ui.scripted import ScriptedRun

STEPS = 1_000_000
ALL_IS_SHOWN = f"{STEPS}/{STEPS}"


def told(steps_a_line: int) -> Iterator[e.StepsTrained]:
    for first in range(1, STEPS + 1, steps_a_line):
        span = range(first, first + steps_a_line)
        loss = [0.35 + 1.9 * math.exp(-n / 9e4) + 0.2 * math.sin(n * 12.9898) for n in span]
        yield e.StepsTrained(first, list[float | None](loss), [0.01] * steps_a_line, 134.0)


def measure(steps_a_line: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = ScriptedRun(Path(folder) / "2026-11-23-resnet18-pets")
        run.steps_per_epoch = STEPS // 10
        run.start()
        run.tell(*told(steps_a_line))
        size = (run.folder / "events.jsonl").stat().st_size
        options = ["--runs-dir", folder, "--refresh", "4", run.folder.name]
        began = time.perf_counter()
        child = Child([sys.executable, "-c", OURS, *options], *SIZE)
        child.read_until(ALL_IS_SHOWN)
        wall, cpu, peak = time.perf_counter() - began, child.cpu, child.peak_memory >> 20
        print(
            f"{steps_a_line:2} steps a line: {size / 1e6:4.0f} MB journal, full plot after "
            f"{wall:.2f} s wall, {cpu:.2f} s CPU, start included, peak {peak} MiB"
        )
        child.close()


if __name__ == "__main__":
    for steps_a_line in (20, 1):
        measure(steps_a_line)
