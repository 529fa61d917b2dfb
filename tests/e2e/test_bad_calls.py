"""Bad input through the front door: one clear sentence, exit code 2, nothing left running."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from engine.contract import events as e
from engine.runs import store
from tests.e2e.conftest import Home
from tests.ui.scripted import ScriptedRun

pytestmark = pytest.mark.slow


def refused(home: Home, *words: str) -> str:
    """The sentence of a call that must be refused."""
    done = home.ftui(*words)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stdout + done.stderr
    sentences = [line for line in done.stderr.splitlines() if line.startswith("ftui: ")]
    assert len(sentences) == 1, done.stderr
    for run in store.summaries(home.folder / "runs"):
        assert run.state in ("failed", "stopped"), run
    return sentences[0]


def test_a_misspelt_key(home: Home, pictures: Path) -> None:
    said = refused(home, "train", str(home.config(training__epoch="3")))
    assert "config.toml" in said
    assert 'did you mean "epochs"?' in said


def test_a_missing_config(home: Home) -> None:
    assert "nowhere.toml" in refused(home, "train", "nowhere.toml")


def test_a_missing_folder(home: Home) -> None:
    assert "pictures" in refused(home, "train", str(home.config()))


def test_a_folder_with_one_class(home: Home, pictures: Path) -> None:
    (pictures / "train" / "light").rename(home.folder / "light")
    (pictures / "val" / "light").rename(home.folder / "light2")
    said = refused(home, "train", str(home.config()), "--foreground")
    assert "class" in said
    assert "dark" in said


def test_a_corrupt_checkpoint(home: Home, pictures: Path) -> None:
    file = home.folder / "weights.pth"
    torch.save({"features.0.weight": torch.zeros(3)}, file)
    file.write_bytes(file.read_bytes()[:-100])
    said = refused(home, "train", str(home.config(model__weights=f'"{file}"')))
    assert "weights.pth" in said


def test_a_run_without_an_intact_checkpoint(home: Home, pictures: Path) -> None:
    done = home.ftui("train", str(home.config(training__epochs="1")), "--foreground")
    assert done.returncode == 0, done.stderr
    for file in (home.folder / "runs").glob("*/checkpoints/step-*/training.pt"):
        file.write_bytes(b"")
    name = home.ls()[0]["name"]
    for where in ([], ["--foreground"]):
        said = refused(home, "resume", name, "--set", "training.epochs=2", *where)
        assert "no checkpoint is intact" in said
        assert home.ls()[0]["error"] in said


def test_calls_that_make_no_sense(home: Home) -> None:
    assert "nothing-like-it" in refused(home, "attach", "nothing-like-it")
    assert "key=value" in refused(home, "demo", "--set", "training.epochs")
    assert "--frobnicate" in refused(home, "ls", "--frobnicate")
    assert "number" in refused(home, "ctl", "some-run", "lr", "fast")
    assert 'did you mean "train"?' in refused(home, "trian")
    assert "nosuchuser" in refused(home, "attach", "~nosuchuser")
    assert "xxx" in refused(home, "attach", "x" * 300)


def test_a_config_that_is_nested_without_end(home: Home) -> None:
    (home.folder / "deep.toml").write_text(f"x = {'[' * 5000}")
    assert "deep.toml" in refused(home, "train", "deep.toml")


def test_runs_that_cannot_be_shown_whole(home: Home) -> None:
    run = ScriptedRun(home.folder / "runs" / "2026-11-23-resnet18-pets", live=False)
    run.start()
    run.tell(e.RunFinished(run.step))
    good = run.folder
    named = good.with_name("not-utf-8-\udcff")
    for copy in (good.with_name("unreadable"), named):
        copy.mkdir()
        shutil.copy(good / "config.toml", copy)
    (good.with_name("unreadable") / "events.jsonl").mkdir()

    told = {run["name"]: run for run in home.ls()}
    assert told[good.name]["state"] == "finished"
    assert "can't be read" in told["unreadable"]["error"]
    assert "not-utf-8-\ufffd" in told
    listed = home.ftui("ls")
    assert listed.returncode == 0, listed.stderr
    assert "torchvision/resnet18" in listed.stdout  # a pipe gets whole columns
    attached = home.ftui("attach", "unreadable")
    assert attached.returncode == 2, attached
    assert attached.stderr.count("\n") == 1


def test_ctrl_c_while_it_loads_ends_it_quietly(home: Home) -> None:
    """A module that is loaded early stands in for a slow disk: the signal comes during imports."""
    (home.folder / "click.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    )
    paths = [str(home.folder), *filter(None, [home.env.get("PYTHONPATH")])]
    home.env["PYTHONPATH"] = os.pathsep.join(paths)
    done = home.ftui("ls")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_defect_is_noted_where_the_home_cannot_be_written(home: Home) -> None:
    (home.folder / "psutil.py").write_text("raise ZeroDivisionError\n")
    paths = [str(home.folder), *filter(None, [home.env.get("PYTHONPATH")])]
    home.env |= {"PYTHONPATH": os.pathsep.join(paths), "HOME": "/proc/nowhere"}
    done = home.ftui("doctor")
    assert done.returncode == 1
    log = Path(done.stderr.rpartition(" in ")[2].strip().rstrip("."))
    assert log.read_text().endswith("ZeroDivisionError\n")
    log.unlink()
