"""A fork from the cursor of a plot, in a real terminal: both curves are overlaid."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Home
from tests.e2e.terminal import Terminal, wait_until

pytestmark = pytest.mark.slow


def test_fork_from_the_cursor_of_a_plot(
    home: Home, pictures: Path, terminal: Callable[..., Terminal]
) -> None:
    done = home.ftui("train", str(home.config(training__epochs="6")), "--foreground")
    assert done.returncode == 0, done.stderr
    (parent,) = home.ls()
    shown = terminal("attach", parent["name"])
    shown.wait_for("finished", "4 Plots")
    shown.press("c", *["Left"] * 9)
    shown.press("B")
    screen = shown.wait_for("Fork", "at step", "starts it", "Base learning rate")
    step = int(screen.split("at step ")[1].split()[0])
    assert 0 < step < parent["step"]
    shown.press("Enter", "C-u")
    shown.type("0.1")
    shown.press("Enter")
    shown.wait_for("instead of 0.01")
    shown.press("s")
    shown.wait_for("parent train", f"at step {step}")
    child = home.wait_for_run(lambda run: run["state"] == "finished" and run["parent"])
    assert child["parent"] == parent["path"]
    assert (
        tomllib.loads((Path(child["path"]) / "config.toml").read_text())["optimizer"]["lr"] == 0.1
    )

    def told(run: dict[str, str], column: str) -> dict[int, float]:
        lines = map(json.loads, (Path(run["path"]) / "events.jsonl").read_text().splitlines())
        steps = [x for x in lines if x["event"] == "StepsTrained"]
        return {x["first_step"] + i: value for x in steps for i, value in enumerate(x[column])}

    theirs, ours = told(parent, "loss"), told(child, "loss")
    common = [at for at in ours if at <= step]
    assert [ours[at] for at in common] == [theirs[at] for at in common]
    assert told(child, "lr")[step + 1] == pytest.approx(10 * told(parent, "lr")[step + 1])
    wait_until(lambda: "◆ parent val" in shown.screen, lambda: shown.screen)
