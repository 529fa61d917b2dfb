"""CPU seconds to the app's first frame in a real terminal, beside a bare Textual app.

`python -m tests.benchmarks.app_first_frame` prints the medians; under 0.4 s is wanted.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.terminal import OURS, Child
from tests.ui.scripted import ScriptedRun

SIZE = (120, 40)
ROUNDS = 7
BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    def compose(self):
        yield Static("Leave")
Bare().run()
"""


def first_frame(code: str, arguments: list[str], text: str) -> tuple[float, float]:
    """CPU seconds and wall seconds until `text` was written."""
    started = time.perf_counter()
    child = Child([sys.executable, "-c", code, *arguments], *SIZE)
    child.read_until(text)
    result = child.cpu, time.perf_counter() - started
    child.close()
    return result


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        run = ScriptedRun(runs / "2026-11-23-resnet18-pets")
        run.start()
        run.train(200)
        kinds = {
            "bare Textual app": (BARE, [], "Leave"),
            "ftui, no run": (OURS, ["--runs-dir", folder], "1 Model"),
            "ftui on a run": (OURS, ["--runs-dir", folder, run.folder.name], "1 Model"),
        }
        results: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        for _ in range(ROUNDS):  # in turn, so that whatever else runs here meets all of them
            for kind, (code, arguments, text) in kinds.items():
                results[kind].append(first_frame(code, arguments, text))
    for kind, found in results.items():
        cpu, wall = (statistics.median(x) for x in zip(*found, strict=True))
        print(f"{kind:18} {cpu:.2f} s CPU   {wall:.2f} s wall")


if __name__ == "__main__":
    main()
