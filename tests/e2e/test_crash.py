"""`kill -9` of the worker: said at once, and resumed as if nothing had happened."""

import os
import signal
from pathlib import Path

import pytest
import torch

from engine import shards
from tests.e2e.conftest import Home

pytestmark = pytest.mark.slow


def test_a_killed_worker_resumes_to_the_same_weights(home: Home, pictures: Path) -> None:
    config = home.config(training__epochs="12", checkpoints__every_steps="4")
    straight = home.ftui("train", str(config), "--foreground")
    assert straight.returncode == 0, straight.stderr
    reference = Path(straight.stdout.splitlines()[-1])

    started = home.ftui("train", str(config))
    assert started.returncode == 0, started.stderr
    run = home.wait_for_run(lambda run: run["step"] >= 6)
    os.kill(run["pid"], signal.SIGKILL)
    assert home.ls()[0]["state"] == "crashed"

    resumed = home.ftui("resume", run["name"])
    assert resumed.returncode == 0, resumed.stderr
    second = home.wait_for_run(lambda run: run["state"] == "finished")["pid"]
    assert second != run["pid"]
    assert f"(pid {second})" in resumed.stdout
    weights = shards.read(reference / "checkpoints" / "last")
    again = shards.read(Path(run["path"]) / "checkpoints" / "last")
    assert weights.keys() == again.keys()
    for name in weights:
        assert torch.equal(weights[name], again[name]), name


def test_a_finished_run_takes_more_epochs(home: Home, pictures: Path) -> None:
    done = home.ftui("train", str(home.config(training__epochs="1")), "--foreground")
    assert done.returncode == 0, done.stderr
    run = home.ls()[0]
    assert "training.epochs" in home.ftui("resume", run["name"]).stderr

    more = home.ftui("resume", run["name"], "--set", "training.epochs=2", "--foreground")
    assert more.returncode == 0, more.stderr
    after = home.ls()[0]
    assert (after["state"], after["epoch"]) == ("finished", 2)
    assert after["step"] == 2 * run["step"]
