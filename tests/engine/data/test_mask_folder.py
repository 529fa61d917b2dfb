"""Folders of pictures and masks: listed, checked, split, read."""

import math
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pytest
import torch
from PIL import Image

from engine.contract.baseline import Baseline
from engine.contract.config import DataConfig, SegmentationConfig
from engine.contract.errors import UserError
from engine.contract.preprocessing import Preprocessing
from engine.data.loader import Key
from engine.data.mask_folder import MaskIndex, index_masks
from engine.data.masked import MaskedPictures
from engine.data.transforms import Augmentation
from engine.tasks import TASKS
from engine.tasks.segmenting import confusion, mean_iou
from engine.tasks.semantic_segmentation import SemanticSegmentation
from tests.engine.data.masked import SIDE, config, save


def index(path: Path, pre: Preprocessing | None = None, **tables) -> MaskIndex:
    return index_masks(config(path, **tables), lambda _words: None, pre)


def names(pairs) -> list[str]:
    assert all(pair.image.stem == pair.mask.stem for pair in pairs)
    return [pair.image.stem for pair in pairs]


def test_split_by_us_the_same_each_time(tmp_path: Path) -> None:
    for number in range(10):
        save(tmp_path, f"sub/{number}", seed=number)
    data = DataConfig(str(tmp_path), val_fraction=0.3)
    found = index(tmp_path, data=data)
    assert (len(found.train), len(found.val)) == (7, 3)
    assert sorted(names(found.train) + names(found.val)) == [str(n) for n in range(10)]
    assert index(tmp_path, data=data) == found
    other = index(tmp_path, data=DataConfig(str(tmp_path), val_fraction=0.3, split_seed=1))
    assert names(other.val) != names(found.val)
    assert other.digest != found.digest


@pytest.mark.parametrize("inside", [True, False])
def test_split_by_folders(inside: bool, tmp_path: Path) -> None:
    for part, name in (("train", "a"), ("train", "b"), ("val", "c")):
        if inside:
            save(tmp_path, f"{part}/{name}")
        else:
            save(tmp_path / part, name)
    found = index(tmp_path)
    assert (names(found.train), names(found.val)) == (["a", "b"], ["c"])
    assert found.classes == ["0", "1", "2"]


def test_what_is_counted_and_the_baseline(tmp_path: Path) -> None:
    first, second, third = (np.zeros((4, 4), np.uint8) for _ in range(3))
    first[0] = 5
    second[:] = 255
    second[0, 0] = 9
    third[:2] = 5
    third[2:, 2:] = 255
    for part, name, mask in (("train", "a", first), ("train", "b", second), ("val", "c", third)):
        save(tmp_path / part, name, mask)
    found = index(tmp_path, Preprocessing(image_size=4, resize_size=4))
    assert found.classes == ["0", "5", "9"]
    assert (found.train_counts.pixels, found.val_counts.pixels) == ([12, 4, 1], [4, 8, 0])
    told = found.told()
    assert (told.train_counts, told.val_counts) == ([1, 1, 1], [1, 1, 0])
    assert told.baseline is not None
    # 0 is the commonest to train on: it has a third of val's pixels, and 5 has an IoU of none
    assert math.isclose(told.baseline.value, (4 / 12 + 0) / 2)
    assert (told.baseline.figure, told.baseline.how) == ("miou", "always saying '0'")


def test_the_baseline_is_of_the_pixels_that_are_evaluated(tmp_path: Path) -> None:
    wide = np.ones((SIDE, 2 * SIDE), np.uint8)
    wide[:, 20:40] = 0  # most of the middle, and less than half of all
    wide[:4] = 255
    save(tmp_path / "train", "a")
    save(tmp_path / "train", "b", np.zeros((SIDE, SIDE), np.uint8))
    save(tmp_path / "val", "c", wide)
    pre = Preprocessing(image_size=24, resize_size=28)
    found = index(tmp_path, pre)
    [batch] = [MaskedPictures(found.val, found.coding, pre, 0)[Key(0, (0,), Augmentation())]]
    said_0 = torch.zeros_like(batch.targets)
    [of_pictures] = mean_iou(confusion(said_0, batch.targets, 3)).tolist()
    assert found.told().baseline == Baseline("miou", pytest.approx(of_pictures), ANY)
    assert of_pictures > 0.3
    assert index(tmp_path).told().baseline is None
    of_run = SemanticSegmentation().index(config(tmp_path), lambda _words: None)
    assert sum(of_run.evaluated) < SIDE * SIDE


def test_broken_files_are_named_and_left_out(tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path, name)
    (tmp_path / "masks" / "b.png").write_bytes(b"\x89PNG torn")
    found = index(tmp_path)
    assert sorted(names(found.train) + names(found.val)) == ["a", "c"]
    assert [file.path for file in found.skipped] == [str(tmp_path / "masks" / "b.png")]


def _without_masks(root: Path) -> None:
    for file in (root / "masks").iterdir():
        file.unlink()
    (root / "masks").rmdir()


def _one_too_few(root: Path) -> None:
    (root / "masks" / "b.png").unlink()


def _one_too_many(root: Path) -> None:
    (root / "images" / "b.png").unlink()


def _another_size(root: Path) -> None:
    Image.new("L", (3, 4)).save(root / "masks" / "b.png")


def _a_class_too_many(root: Path) -> None:
    (root / "classes.txt").write_text("one\ntwo\n")


def _a_colour_too_many(root: Path) -> None:
    (root / "classes.csv").write_text("one,0,0,0\ntwo,9,8,7\nthree,1,1,2\n")
    Image.new("RGB", (SIDE, SIDE), (9, 8, 6)).save(root / "masks" / "b.png")


def _colours_without_a_map(root: Path) -> None:
    for file in (root / "masks").iterdir():
        Image.new("RGB", (SIDE, SIDE), (9, 8, 6)).save(file)


def _all_ignored(root: Path) -> None:
    for file in (root / "masks").iterdir():
        Image.new("L", (SIDE, SIDE), 255).save(file)


def _twins(root: Path) -> None:
    Image.new("L", (SIDE, SIDE)).save(root / "images" / "b.bmp")


def _only_train(root: Path) -> None:
    (root / "train").mkdir()
    for kind in ("images", "masks"):
        (root / kind).rename(root / "train" / kind)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_without_masks, "but no folder"),
        (
            _one_too_few,
            'has 3 pictures and "{root}/masks" 2 masks: the picture "b.png" has no mask',
        ),
        (_one_too_many, 'the mask "b.png" has no picture of the same name'),
        (_another_size, 'the mask "{root}/masks/b.png" has 3×4 pixels and its picture 32×32;'),
        (_a_class_too_many, "it holds 2, but classes.txt has the classes 0 to 1"),
        (_a_colour_too_many, "it holds the colour 9,8,6, which is not in classes.csv"),
        (_colours_without_a_map, "no picture with a usable mask, the first because it holds colou"),
        (_all_ignored, "the masks hold nothing alone beside 255"),
        (_twins, 'has both "b.bmp" and "b.png"'),
        (_only_train, "holds no images/ folder"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(spoil, words: str, tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path, name)
    spoil(tmp_path)
    with pytest.raises(UserError) as raised:
        index(tmp_path)
    assert words.format(root=tmp_path) in str(raised.value)
    assert str(raised.value).endswith(".")


def test_an_ignored_number_of_ones_own(tmp_path: Path) -> None:
    mask = np.array([[0, 255], [255, 0]], np.uint8)
    for name in "ab":
        save(tmp_path, name, mask)
    with pytest.raises(UserError, match=r"hold 0 alone beside 255.*set it to -1"):
        index(tmp_path)
    found = index(tmp_path, segmentation=SegmentationConfig(ignore_index=-1))
    assert found.classes == ["0", "255"]
    assert found.train_counts.pixels == [2, 2]


def test_a_gap_in_the_numbers_is_said(tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path, name)
    assert index(tmp_path).remarks == []
    odd = np.zeros((SIDE, SIDE), np.uint8)
    odd[0, :3] = 1, 2, 77
    save(tmp_path, "b", odd)
    (said,) = index(tmp_path).remarks
    assert f'a gap (0, 1, 2, 77), and 77, as in "{tmp_path}/masks/b.png", is taken for' in said
    assert "segmentation.ignore_index to 77" in said
    previewed = TASKS["semantic-segmentation"].preview(config(tmp_path), lambda _words: None)
    assert previewed.remarks == [said]


def test_batches_are_functions_of_their_key(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path, str(number), seed=number)
    found = index(tmp_path)
    pre = Preprocessing(image_size=16, resize_size=16)
    samples = MaskedPictures(found.train, found.coding, pre, seed=3)
    before = torch.default_generator.get_state()
    key = Key(1, (2, 0), Augmentation("randaugment"))
    batch, again = samples[key], samples[key]
    assert torch.equal(torch.default_generator.get_state(), before)
    assert (batch.inputs.shape, batch.targets.shape) == ((2, 3, 16, 16), (2, 16, 16))
    assert (batch.inputs.dtype, batch.targets.dtype) == (torch.uint8, torch.int16)
    assert torch.equal(batch.inputs, again.inputs)
    assert torch.equal(batch.targets, again.targets)
    assert not torch.equal(samples[key._replace(epoch=2)].targets, batch.targets)


def test_a_mask_that_has_changed_since_is_skipped(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path, str(number), seed=number)
    found = index(tmp_path)
    Image.new("L", (SIDE, SIDE), 77).save(found.train[0].mask)
    samples = MaskedPictures(found.train, found.coding, Preprocessing(16, 16), seed=0)
    batch = samples[Key(0, (0, 1), Augmentation())]
    assert len(batch) == 1
    assert "it holds 77" in batch.skipped[0].reason
