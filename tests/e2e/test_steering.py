"""A run watched and steered in a real terminal, which dies and is replaced."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Home
from tests.e2e.terminal import Terminal, wait_until

pytestmark = pytest.mark.slow

Open = Callable[..., Terminal]


def journal(run: dict[str, Any]) -> list[dict[str, Any]]:
    lines = (Path(run["path"]) / "events.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def wait_for_answer(run: dict[str, Any], command: str) -> dict[str, Any]:
    """The acknowledgement of the newest command of a kind, once it is in the journal."""

    def answers() -> list[dict[str, Any]]:
        told = [event for event in journal(run) if event["event"] == "CommandApplied"]
        return [event for event in told if event["command"]["command"] == command]

    wait_until(lambda: bool(answers()), lambda: f"{command} never answered")
    return answers()[-1]


def test_the_terminal_dies_and_a_new_one_steers(home: Home, terminal: Open) -> None:
    first = terminal("demo", "--set", "training.epochs=200", "--set", "data.batch_size=8")
    first.wait_for("running", "train")
    run = home.wait_for_run(lambda run: run["step"] >= 2)
    first.kill_server()
    later = home.wait_for_run(lambda now: now["step"] > run["step"] + 1)
    assert later["state"] == "running"

    second = terminal("attach", run["name"])
    second.wait_for("running", "train", "2 Modules", "conv_head")
    second.press("p")
    second.wait_for("paused")
    paused_at = wait_for_answer(run, "Pause")["step"]
    second.press("r")
    second.wait_for("ate")
    second.type("0.0005")
    second.press("Enter")
    assert wait_for_answer(run, "SetLearningRate")["command"]["lr"] == 0.0005
    second.press("2")
    second.press("/")
    second.wait_for("filter")
    second.type("conv_head")
    second.wait_for("1 of")
    second.press("Enter")
    second.press("Space")
    thawed = wait_for_answer(run, "Thaw")
    assert thawed["command"]["pattern"] == "conv_head"
    assert thawed["step"] == paused_at
    second.press("p")
    wait_for_answer(run, "Resume")
    home.wait_for_run(lambda now: now["step"] > paused_at)

    changes = [x for x in journal(run) if x["event"] in ("LearningRateChanged", "PlanChanged")]
    assert [x["step"] for x in changes] == [0, paused_at, paused_at]
    screen = second.wait_for("▾", "┊")  # a marker on the plot, where both were changed
    assert "running" in screen
    second.press("q")
    wait_until(lambda: "goes on" in second.screen, lambda: second.screen)
    assert home.ftui("ctl", run["name"], "stop").returncode == 0


def test_killing_the_app_leaves_the_run_alone(home: Home, pictures: Path, terminal: Open) -> None:
    home.ftui("train", str(home.config(training__epochs="5000")))
    run = home.wait_for_run(lambda run: run["step"] >= 1)
    shown = terminal(run["name"])
    shown.wait_for("running")
    for proc in Path("/proc").glob("[0-9]*"):
        try:
            words = (proc / "cmdline").read_bytes().decode().split("\0")
            where = (proc / "cwd").readlink()
        except OSError:
            continue
        if where == home.folder and words[1:3] == [home.command, run["name"]]:
            os.kill(int(proc.name), signal.SIGKILL)
    wait_until(lambda: shown.dead, lambda: shown.screen)
    home.wait_for_run(lambda now: now["step"] > run["step"] and now["state"] == "running")
    assert home.ftui("ctl", run["name"], "stop").returncode == 0
    assert home.wait_for_run(lambda now: now["state"] == "stopped")


def test_steering_from_the_command_line(home: Home, pictures: Path) -> None:
    home.ftui("train", str(home.config(training__epochs="5000")))
    name = home.wait_for_run(lambda run: run["step"] >= 1)["name"]

    def ctl(*words: str) -> str:
        done = home.ftui("ctl", name, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "pause: applied at step" in ctl("pause")
    assert home.ls()[0]["state"] == "paused"
    assert "lr 0.002: applied" in ctl("lr", "0.002")
    assert "thaw features.12: applied" in ctl("thaw", "features.12")
    assert "freeze features.12: applied" in ctl("freeze", "features.12")
    assert "checkpoint: applied" in ctl("checkpoint")
    assert "evaluate: applied" in ctl("evaluate")
    refused = home.ftui("ctl", name, "thaw", "fetures.12")
    assert refused.returncode == 1
    assert "features.12" in refused.stderr
    assert "resume: applied" in ctl("resume")
    assert "stop: applied" in ctl("stop")
    assert home.ls()[0]["state"] == "stopped"
    late = home.ftui("ctl", name, "pause")
    assert late.returncode == 2
    assert "stopped" in late.stderr
