"""Decoded pictures that stay in memory: the same batches, and less work."""

import pickle
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.contract.config import DataConfig
from engine.contract.preprocessing import Preprocessing
from engine.data import Feeding, TrainLoader, ValLoader, index_folder, picture
from engine.data.kept import Kept
from engine.data.pictures import LabelledPictures
from tests.engine.data.pictures import class_folders, cut

PRE = Preprocessing(image_size=16, resize_size=20)
ROOM = 2**20


def test_as_many_as_there_is_room_for() -> None:
    kept = Kept(9, 100)
    pictures = [np.full((2, 5, 3), number, np.uint8) for number in range(5)]
    for number, pixels in enumerate(pictures):
        kept.put(number, pixels)
    kept.put(8, np.arange(10, dtype=np.uint8).reshape(1, 5, 2).transpose(0, 2, 1))
    assert [number for number in range(9) if kept.get(number) is not None] == [0, 1, 2, 8]
    assert all(np.array_equal(kept.get(number), pictures[number]) for number in range(3))
    assert kept.get(8).tolist() == [[[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]]
    assert pickle.loads(pickle.dumps(kept)).get(0) is None
    assert Kept(9, 0).get(3) is None


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("room", [4000, ROOM])
def test_no_batch_changes(tmp_path: Path, workers: int, room: int) -> None:
    """Nor what is broken, what is changed live, or what a picture is once nothing can be read."""
    root = class_folders(tmp_path / "a", {"cat": 9, "dog": 8})
    for name in ("cat/0.png", "dog/5.png"):
        cut(root / name, 0.6)

    def told(keep: int, workers: int, gone: bool) -> list[object]:
        config = DataConfig(str(root), batch_size=4, augment="trivial")
        data = index_folder(config, lambda stage: None)
        parts = [LabelledPictures(part, PRE, 5, keep) for part in (data.train, data.val)]
        train = TrainLoader(parts[0], config, 5, Feeding(workers))
        val = ValLoader(parts[1], config, Feeding(workers))
        with closing(train), closing(val):
            seen = [*train.in_order(), *train.epoch(1), *val]
            train.set_augmentation("none", 1.0)
            seen += [*train.epoch(2), *val]
            if gone:
                root.rename(tmp_path / "gone")
            seen += [*train.epoch(3), *val]
            train.set_augmentation("trivial", 0.5)
            seen += train.epoch(4, 1)
        return [(x.inputs.tolist(), x.targets.tolist(), x.numbers) for x in seen]

    expected = told(0, 0, gone=False)
    assert told(room, workers, gone=room == ROOM) == expected


def test_what_is_read_once_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = class_folders(tmp_path / "a", {"cat": 3, "dog": 3})
    config = DataConfig(str(root), batch_size=4, augment="none")
    data = index_folder(config, lambda stage: None)
    loader = TrainLoader(LabelledPictures(data.train, PRE, 0, ROOM), config, 0, Feeding())
    read, reads = picture.read, []
    monkeypatch.setattr(
        picture, "read", lambda path, **how: reads.append(path) or read(path, **how)
    )
    for batches, expected in ((loader.in_order, 4), (lambda: loader.epoch(1), 8)):
        list(batches())
        assert len(reads) == expected
    first, second = (torch.cat([x.inputs for x in batches()]) for batches in [loader.in_order] * 2)
    assert torch.equal(first, second)
    assert len(reads) == 8
