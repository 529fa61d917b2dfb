"""Small real pictures, a config for them, and the `ftui` command as a user calls it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from engine.runs import store
from tests.e2e.terminal import PATIENCE, Terminal, wait_until

FTUI = str(Path(sys.executable).parent / "ftui")


@dataclass
class Home:
    """An empty folder that a user works in, nothing of the machine's own settings in it."""

    folder: Path
    env: dict[str, str]
    command: str = FTUI

    def ftui(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `ftui` without a terminal, to its end."""
        return subprocess.run(
            [self.command, *words],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=5 * PATIENCE,
            check=False,
        )

    def ls(self) -> list[dict[str, Any]]:
        done = self.ftui("ls", "--json")
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def wait_for_run(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """What `ls` tells of the newest run, once it fulfils `condition`."""
        seen: list[dict[str, Any]] = []

        def holds() -> bool:
            seen[:] = map(msgspec.to_builtins, store.summaries(self.folder / "runs")[:1])
            return bool(seen) and condition(seen[0])

        wait_until(holds, lambda: f"the run never got there: {seen}")
        return seen[0]

    def config(self, **changes: str) -> Path:
        """A config for a small untrained network; `data__path="x"` changes data.path."""
        lines = {
            "task": '"image-classification"',
            "model.name": '"torchvision/squeezenet1_1"',
            "model.weights": '"none"',
            "data.path": '"pictures"',
            "data.image_size": "64",
            "data.batch_size": "4",
            "data.augment": '"standard"',
            "training.epochs": "4",
            "training.device": '"cpu"',
        }
        lines |= {key.replace("__", "."): value for key, value in changes.items()}
        path = self.folder / "config.toml"
        path.write_text("".join(f"{key} = {value}\n" for key, value in lines.items()))
        return path


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    keep = ("PATH", "PYTHONPATH", "LANG", "SYSTEMROOT")  # the second may choose what is tested
    env = {name: os.environ[name] for name in keep if name in os.environ}
    env |= {
        "HOME": str(tmp_path / "home"),
        "TERM": "xterm-256color",
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "1",  # tests run side by side, and more threads wait at full load
        # No network for anything, as on a closed box; the proxy refuses at once.
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    (tmp_path / "home").mkdir()
    yield Home(tmp_path, env)
    _end_workers_below(tmp_path)


@pytest.fixture
def pictures(home: Home) -> Path:
    """Two classes that differ in brightness: 12 and 8 pictures for training, 4 and 4 held out."""
    random = np.random.default_rng(0)
    folder = home.folder / "pictures"
    for split, counts in (("train", (12, 8)), ("val", (4, 4))):
        for name, base, count in zip(("dark", "light"), (60, 180), counts, strict=True):
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(count):
                noise = random.integers(-50, 50, (48, 64, 3))
                Image.fromarray((base + noise).astype(np.uint8)).save(place / f"{number}.png")
    return folder


@pytest.fixture
def terminal(home: Home) -> Iterator[Callable[..., Terminal]]:
    """Opens terminals in `home`; all are ended with the test."""
    if shutil.which("tmux") is None:
        if "CI" in os.environ:
            pytest.fail("tmux is not installed")
        pytest.skip("tmux is not installed")
    opened: list[Terminal] = []

    def start(*words: str, width: int = 120, height: int = 40) -> Terminal:
        command = f"cd {home.folder} && exec {home.command} {' '.join(words)}"
        opened.append(Terminal(command, home.env, width, height))
        return opened[-1]

    yield start
    for one in opened:
        one.kill_server()


def _end_workers_below(folder: Path) -> None:
    """Kill what a failed test left running."""
    for proc in Path("/proc").glob("[0-9]*"):
        try:
            command = (proc / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "engine.worker" in command and str(folder) in command:
            os.kill(int(proc.name), signal.SIGKILL)
