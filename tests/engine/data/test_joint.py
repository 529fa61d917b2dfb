"""Pictures and masks change together, and masks stay exact."""

import numpy as np
import pytest
from PIL import Image

from engine.contract.preprocessing import Preprocessing
from engine.data import joint, transforms
from engine.data.masks import IGNORED
from engine.data.transforms import Augmentation

PRE = Preprocessing(image_size=48, resize_size=48)
GEOMETRIC = ("shear_x", "shear_y", "shift_x", "shift_y", "turn")
NUMBERS = (3, 250, 30_000)


def pair(width: int = 96, height: int = 72) -> joint.Pair:
    """A mask of three far-off numbers in large blocks, and a picture that shows the same blocks."""
    mask = np.full((height, width), NUMBERS[0], np.int32)
    mask[: height // 2, width // 3 :] = NUMBERS[1]
    mask[height // 2 :, width // 2 :] = NUMBERS[2]
    grey = {NUMBERS[0]: 60, NUMBERS[1]: 130, NUMBERS[2]: 220}
    pixels = np.vectorize(grey.get)(mask).astype(np.uint8)
    return Image.fromarray(np.stack([pixels] * 3, -1)), Image.fromarray(mask)


def agreement(image: Image.Image, mask: Image.Image) -> float:
    """Share of pixels that count whose picture shows what the mask says; edges are blended."""
    shown, says = np.asarray(image)[..., 0].astype(int), np.asarray(mask)
    wanted = np.select([says == n for n in NUMBERS], [60, 130, 220], -1)
    return float((abs(shown - wanted) < 30)[says != IGNORED].mean())


@pytest.mark.parametrize("name", ["none", "standard", "randaugment", "trivial"])
def test_no_number_comes_in_that_was_not_there(name: str) -> None:
    change = joint.train_joint(PRE, Augmentation(name))
    for seed in range(60):
        with transforms.drawing_from(seed):
            image, mask = change(*pair())
        assert image.size == mask.size == (48, 48)
        allowed = {*NUMBERS, IGNORED} if name in ("randaugment", "trivial") else set(NUMBERS)
        assert set(np.unique(np.asarray(mask)).tolist()) <= allowed


def test_picture_and_mask_stay_in_place_of_each_other() -> None:
    for augmentation in (Augmentation(), Augmentation("standard")):
        change = joint.train_joint(PRE, augmentation)
        for seed in range(40):
            with transforms.drawing_from(seed):
                assert agreement(*change(*pair())) > 0.93


@pytest.mark.parametrize("name", GEOMETRIC)
@pytest.mark.parametrize("signed", [-0.5, 0.5])
def test_what_moves_pixels_moves_those_of_the_mask(
    name: str, signed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, mask = pair(64, 64)
    monkeypatch.setattr(joint, "_OPERATIONS", (name,))
    how = joint.InterpolationMode.BILINEAR
    moved, along = joint._changed(abs(signed), joint._TRIVIAL, how, image, mask)
    assert not np.array_equal(np.asarray(moved), np.asarray(image))
    assert agreement(moved, along) > 0.93
    assert (np.asarray(along) == IGNORED).any()
    blank = np.asarray(along) == IGNORED
    assert np.asarray(moved)[blank].mean() < 40, "what came in from outside is black"


def test_a_strength_of_nothing_leaves_the_middle_and_flips() -> None:
    change = joint.train_joint(PRE, Augmentation("randaugment", 0.0))
    seen = set()
    for seed in range(30):
        with transforms.drawing_from(seed):
            _, mask = change(*pair(72, 72))
        seen.add(np.asarray(mask).tobytes())
    assert len(seen) == 2


def test_evaluation_is_the_pictures_own_transform() -> None:
    image, mask = pair()
    seen, _ = joint.eval_joint(PRE)(image, mask)
    alone = transforms.eval_transform(PRE)(np.array(image))
    assert np.abs(np.asarray(seen).astype(int) - alone).max() <= 1  # Pillow's and torch's resizing
