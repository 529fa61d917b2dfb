"""Bit for bit what the weights saw, and randomness that hangs on its seed alone."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from engine.contract.preprocessing import Preprocessing
from engine.data.transforms import (
    ToInput,
    augmented,
    eval_transform,
    mix,
    train_transform,
    trim,
)
from tests.engine.data.pictures import gradient, noisy

SMALL = Preprocessing(image_size=32, resize_size=40)


def to_input(pre: Preprocessing, image: Image.Image) -> torch.Tensor:
    out = np.empty((3, pre.image_size, pre.image_size), np.float32)
    ToInput(pre)(image, out)
    return torch.from_numpy(out)


@pytest.mark.parametrize("how", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(300, 200), (50, 90), (32, 32), (20, 30), (640, 90)])
def test_evaluation_sees_what_torchvision_would_show(how: str, size: tuple[int, int]) -> None:
    pre = Preprocessing(32, 40, (0.4, 0.5, 0.6), (0.2, 0.3, 0.1), how)  # type: ignore[arg-type]
    theirs = ImageClassification(
        crop_size=32,
        resize_size=40,
        mean=pre.mean,
        std=pre.std,
        interpolation=InterpolationMode(how),
    )
    image = noisy(1, *size)
    assert torch.equal(to_input(pre, eval_transform(pre)(image)), theirs(image))


def test_no_augmentation_is_evaluation() -> None:
    image = noisy(1, 90, 60)
    plain = augmented(train_transform(SMALL, "none"), image, 7)
    assert plain.tobytes() == eval_transform(SMALL)(image).tobytes()


@pytest.mark.parametrize("augment", ["standard", "trivial", "randaugment"])
class TestAugmentation:
    def test_is_the_seed_and_nothing_else(self, augment: str) -> None:
        transform = train_transform(SMALL, augment)  # type: ignore[arg-type]
        image = gradient()
        seen = []
        for state in (1, 2):
            random.seed(state)
            np.random.seed(state)
            torch.manual_seed(state)
            seen.append([augmented(transform, image, seed).tobytes() for seed in range(60)])
        assert seen[0] == seen[1]
        assert len(set(seen[0])) > 50

    def test_leaves_the_global_generators_alone(self, augment: str) -> None:
        transform = train_transform(SMALL, augment)  # type: ignore[arg-type]
        ours, theirs, numpys = torch.get_rng_state(), random.getstate(), np.random.get_state()
        for seed in range(60):
            augmented(transform, gradient(), seed)
        assert torch.equal(torch.get_rng_state(), ours)
        assert random.getstate() == theirs
        assert np.array_equal(np.random.get_state()[1], numpys[1])

    def test_gives_the_size_asked_for(self, augment: str) -> None:
        transform = train_transform(SMALL, augment)  # type: ignore[arg-type]
        for size in ((1, 1), (1, 500), (500, 1), (32, 32), (333, 64)):
            image = augmented(transform, noisy(0, *size), 3)
            assert (image.size, image.mode) == ((32, 32), "RGB")


def test_a_very_long_picture_does_not_take_all_memory() -> None:
    """Resizing its shorter side to 40 would make 40 x 4,000,000 pixels."""
    image = Image.new("RGB", (1, 100_000), "red")
    assert trim(image).size == (1, 8)
    assert trim(image.transpose(Image.Transpose.ROTATE_90)).size == (8, 1)
    assert eval_transform(SMALL)(image).size == (32, 32)


def test_trimming_keeps_the_middle() -> None:
    image = noisy(1, 1000, 20)
    untrimmed = ImageClassification(crop_size=32, resize_size=40)(image)
    assert torch.equal(to_input(SMALL, eval_transform(SMALL)(image)), untrimmed)


class TestMix:
    def test_no_collisions_among_neighbours(self) -> None:
        seeds = [mix(s, e, i) for s in range(8) for e in range(8) for i in range(1000)]
        assert len(set(seeds)) == len(seeds)
        assert all(0 <= seed < 2**64 for seed in seeds)

    def test_argument_order_and_number_matter(self) -> None:
        assert len({mix(0, 1), mix(1, 0), mix(0), mix(0, 0), mix(0, 0, 0), mix(1)}) == 6

    def test_one_bit_in_changes_half_the_bits_out(self) -> None:
        flips = [
            (mix(5, i) ^ mix(5, i ^ 1 << bit)).bit_count() for i in range(50) for bit in range(32)
        ]
        assert 31 < np.mean(flips) < 33
        assert min(flips) > 10
