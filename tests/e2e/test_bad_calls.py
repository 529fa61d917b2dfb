"""Bad input through the front door: one clear sentence, exit code 2, nothing left running."""

from pathlib import Path

import pytest
import torch

from tests.e2e.conftest import Home

pytestmark = pytest.mark.slow


def refused(home: Home, *words: str) -> str:
    """The sentence of a call that must be refused."""
    done = home.ftui(*words)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stdout + done.stderr
    sentences = [line for line in done.stderr.splitlines() if line.startswith("ftui: ")]
    assert len(sentences) == 1, done.stderr
    for run in home.ls():
        assert run["state"] in ("failed", "stopped"), run
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


@pytest.mark.parametrize("foreground", [[], ["--foreground"]])
def test_a_run_without_an_intact_checkpoint(
    home: Home, pictures: Path, foreground: list[str]
) -> None:
    done = home.ftui("train", str(home.config(training__epochs="1")), "--foreground")
    assert done.returncode == 0, done.stderr
    for file in (home.folder / "runs").glob("*/checkpoints/step-*/training.pt"):
        file.write_bytes(b"")
    name = home.ls()[0]["name"]
    said = refused(home, "resume", name, "--set", "training.epochs=2", *foreground)
    assert "no checkpoint is intact" in said
    assert home.ls()[0]["error"] in said


def test_weights_that_are_not_there_without_a_network(home: Home, pictures: Path) -> None:
    said = refused(home, "train", str(home.config(model__weights='"DEFAULT"')))
    assert "squeezenet1_1-" in said
    assert "TORCH_HOME" in said


def test_an_unknown_model(home: Home, pictures: Path) -> None:
    said = refused(home, "train", str(home.config(model__name='"torchvision/resnet81"')))
    assert "resnet18" in said


def test_calls_that_make_no_sense(home: Home) -> None:
    assert "nothing-like-it" in refused(home, "attach", "nothing-like-it")
    assert "key=value" in refused(home, "demo", "--set", "training.epochs")
    assert "--frobnicate" in refused(home, "ls", "--frobnicate")
    assert "number" in refused(home, "ctl", "some-run", "lr", "fast")
    assert 'did you mean "train"?' in refused(home, "trian")
