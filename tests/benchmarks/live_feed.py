"""What it costs to watch: a journal that takes 1,000 events a second, shown 4 times a second.

`python -m tests.benchmarks.live_feed` prints the share of a core and the bytes written to a real
terminal of 120x40, pane by pane; then what a run costs that says nothing. Wanted: under 15 % and
10 KB/s; 0 bytes where nothing changes.
"""

import math
import sys
import tempfile
import time
from pathlib import Path

from engine.contract import events as e
from engine.contract.codec import encode
from tests.benchmarks.terminal import OURS, Child
from tests.ui.scripted import ScriptedRun

SIZE = (120, 40)
SECONDS = 10.0
EVENTS_PER_SECOND = 1000


class Writer:
    """Appends one step an event, as many as are due."""

    def __init__(self, run: ScriptedRun) -> None:
        self._journal = (run.folder / "events.jsonl").open("ab", buffering=0)
        self._step = run.step
        self._first, self._started = run.step, time.perf_counter()

    def restart(self) -> None:
        self._first, self._started = self._step, time.perf_counter()

    def write(self) -> None:
        due = self._first + int((time.perf_counter() - self._started) * EVENTS_PER_SECOND)
        lines = []
        while self._step < due:
            self._step += 1
            loss = 0.35 + 1.9 * math.exp(-self._step / 9000) + 0.2 * math.sin(self._step * 12.9898)
            rate = 134.0 + 3 * math.sin(self._step / 500)
            lines.append(encode(e.StepsTrained(self._step, [loss], [0.01], rate)))
        self._journal.write(b"".join(lines))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = ScriptedRun(Path(folder) / "2026-11-23-resnet18-pets")
        run.steps_per_epoch = 100_000
        run.start()
        run.train(2000)
        writer = Writer(run)
        options = ["--runs-dir", folder, "--refresh", "4", run.folder.name]
        child = Child([sys.executable, "-c", OURS, *options], *SIZE)
        child.read_until("1 Model")
        child.read_until_quiet(1.0)
        for keys, what in (("4", "all panes"), ("4z", "plot alone"), ("z2z", "modules alone")):
            child.send(keys)
            writer.restart()
            child.read_for(3.0, writer.write)  # what the keys cost is not counted
            measure(child, f"1,000 events/s, {what}", writer)
        child.read_until_quiet(1.0)
        measure(child, "nothing told, modules alone", None)
        child.send("z")
        child.read_until_quiet(1.0)
        measure(child, "nothing told, hardware shown", None)
        child.close()


def measure(child: Child, what: str, writer: Writer | None) -> None:
    cpu, received = child.cpu, child.received
    child.read_for(SECONDS, writer.write if writer else lambda: None)
    share = (child.cpu - cpu) / SECONDS
    written = (child.received - received) / SECONDS
    print(f"{what:32} {share:6.1%} of a core  {written / 1000:6.2f} KB/s")


if __name__ == "__main__":
    main()
