"""torchvision's data sets, from files as it stores them."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from engine.contract import toml
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.preprocessing import Preprocessing
from engine.data import known_sets
from engine.data.known_sets import KnownPictures, index_known
from engine.data.loader import Key
from engine.data.transforms import Augmentation

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where the package dataset-fashion-mnist puts the real ones."""


def config(root: Path, name: str = "FashionMNIST") -> Config:
    return toml.parse(
        'task = "image-classification"\nmodel.name = "torchvision/resnet18"\n'
        f'data.path = "torchvision/{name}"\nimages.root = "{root}"'
    )


def put(raw: Path, part: str, count: int) -> None:
    """Random pictures and labels in the format of MNIST."""
    random = np.random.default_rng(count)
    pictures = random.integers(0, 256, (count, 28, 28), np.uint8)
    labels = np.arange(count, dtype=np.uint8) % 10
    for kind, data in (("images-idx3", pictures), ("labels-idx1", labels)):
        head = struct.pack(f">HBB{data.ndim}I", 0, 8, data.ndim, *data.shape)
        with gzip.open(raw / f"{part}-{kind}-ubyte.gz", "wb") as file:
            file.write(head + data.tobytes())
        (raw / f"{part}-{kind}-ubyte").write_bytes(head + data.tobytes())


def test_files_on_the_disk(tmp_path: Path) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    put(raw, "train", 40)
    put(raw, "t10k", 20)
    index = index_known(config(tmp_path), lambda _: None)
    assert index.classes == datasets.FashionMNIST.classes
    told = index.told()
    assert (told.train_counts, told.val_counts) == ([4] * 10, [2] * 10)
    assert told.baseline.value == 0.1
    pictures = KnownPictures(index.train, Preprocessing(32, 32), seed=0)
    batch = pictures[Key(0, (3, 41), Augmentation("standard"))]
    assert batch.inputs.shape == (2, 3, 32, 32)
    assert batch.targets.tolist() == [3, 1]
    again = pictures[Key(0, (3, 41), Augmentation("standard"))]
    assert (again.inputs == batch.inputs).all()


def test_what_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_more: object) -> None:
        raise RuntimeError("no network")

    monkeypatch.setattr(datasets.FashionMNIST, "download", refuse)
    with pytest.raises(UserError) as raised:
        index_known(config(tmp_path), lambda _: None)
    said = str(raised.value)
    assert said.startswith(f"data.path: FashionMNIST is not in {tmp_path} and can't be downloaded")
    assert "train-images-idx3-ubyte.gz" in said
    assert f"into {tmp_path}/FashionMNIST/raw" in said


def test_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'"FashonMNIST" .* did you mean "FashionMNIST"'):
        index_known(config(tmp_path, "FashonMNIST"), lambda _: None)


def test_every_name_is_torchvisions() -> None:
    assert all(hasattr(datasets, name) for name in known_sets._SPLITS)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="the package dataset-fashion-mnist is not there")
def test_the_real_one_as_debian_packs_it(tmp_path: Path) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for file in DEBIAN.glob("*.gz"):
        (raw / file.stem).write_bytes(gzip.decompress(file.read_bytes()))  # as torchvision reads it
    told = index_known(config(tmp_path), lambda _: None).told()
    assert told.train_counts == [6000] * 10
    assert told.val_counts == [1000] * 10
