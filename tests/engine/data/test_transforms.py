"""Bit for bit what the weights saw, and randomness that hangs on its seed alone."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms._presets import ImageClassification

from engine.contract.preprocessing import Preprocessing
from engine.data.transforms import (
    Augmentation,
    Normalise,
    Transform,
    _on_top,
    augmented,
    eval_transform,
    mix,
    train_transform,
    trim,
)
from tests.engine.data.pictures import gradient, noisy

SMALL = Preprocessing(image_size=32, resize_size=40)


def given(image: Image.Image, pre: Preprocessing = SMALL) -> torch.Tensor:
    """What the model is given of a picture in an evaluation."""
    pixels = eval_transform(pre)(np.array(image)).transpose(2, 0, 1)
    return Normalise(pre)(torch.from_numpy(pixels)[None])[0]


def changed(image: Image.Image, transform: Transform, seed: int) -> bytes:
    return augmented(transform, np.array(image), seed).tobytes()


@pytest.mark.parametrize("how", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(300, 200), (50, 90), (32, 32), (20, 30), (640, 90)])
def test_evaluation_sees_what_torchvision_would_show(how: str, size: tuple[int, int]) -> None:
    """But for a level or two in a few places, as torch resizes and not Pillow."""
    pre = Preprocessing(32, 40, (0.4, 0.5, 0.6), (0.2, 0.3, 0.1), how)  # type: ignore[arg-type]
    theirs = ImageClassification(
        crop_size=32,
        resize_size=40,
        mean=pre.mean,
        std=pre.std,
        interpolation=InterpolationMode(how),
    )
    image = noisy(1, *size)
    seen = given(image, pre)
    levels = (seen - theirs(image)).abs() * torch.tensor(pre.std)[:, None, None] * 255
    assert (levels > 0.01).float().mean() < 0.2
    assert how == "nearest" or levels.max() < 2.01  # which may take the neighbour at an edge


def test_no_augmentation_is_evaluation() -> None:
    image = noisy(1, 90, 60)
    plain = changed(image, train_transform(SMALL, Augmentation("none")), 7)
    assert plain == eval_transform(SMALL)(np.array(image)).tobytes()


@pytest.mark.parametrize("augment", ["standard", "trivial", "randaugment"])
class TestAugmentation:
    def test_is_the_seed_and_nothing_else(self, augment: str) -> None:
        transform = train_transform(SMALL, Augmentation(augment))  # type: ignore[arg-type]
        image = gradient()
        seen = []
        for state in (1, 2):
            random.seed(state)
            np.random.seed(state)
            torch.manual_seed(state)
            seen.append([changed(image, transform, seed) for seed in range(60)])
        assert seen[0] == seen[1]
        assert len(set(seen[0])) > 50

    def test_leaves_the_global_generators_alone(self, augment: str) -> None:
        transform = train_transform(SMALL, Augmentation(augment))  # type: ignore[arg-type]
        ours, theirs, numpys = torch.get_rng_state(), random.getstate(), np.random.get_state()
        for seed in range(60):
            changed(gradient(), transform, seed)
        assert torch.equal(torch.get_rng_state(), ours)
        assert random.getstate() == theirs
        assert np.array_equal(np.random.get_state()[1], numpys[1])

    def test_gives_the_size_asked_for(self, augment: str) -> None:
        transform = train_transform(SMALL, Augmentation(augment))  # type: ignore[arg-type]
        for size in ((1, 1), (1, 500), (500, 1), (32, 32), (333, 64)):
            before = np.array(noisy(0, *size))
            pixels = before.copy()
            assert augmented(transform, pixels, 3).shape == (32, 32, 3)
            assert np.array_equal(pixels, before)


def seen(image: Image.Image, name: str, strength: float, count: int = 200) -> list[bytes]:
    """What a picture becomes, by so many seeds."""
    transform = train_transform(SMALL, Augmentation(name, strength))  # type: ignore[arg-type]
    return [changed(image, transform, seed) for seed in range(count)]


class TestStrength:
    @pytest.mark.parametrize(
        "on_top", [{}, {"trivial": v2.TrivialAugmentWide}, {"randaugment": v2.RandAugment}]
    )
    def test_at_one_it_is_as_published(self, on_top: dict[str, type]) -> None:
        how = InterpolationMode(SMALL.interpolation)
        published = v2.Compose(
            [
                v2.RandomResizedCrop(32, scale=(0.35, 1.0), interpolation=how),
                v2.RandomHorizontalFlip(),
                v2.ToPILImage(),
                *(kind(interpolation=how) for kind in on_top.values()),
            ]
        )

        def by_torchvision(pixels: np.ndarray) -> np.ndarray:
            return np.asarray(published(torch.from_numpy(pixels).permute(2, 0, 1)))

        theirs = [changed(gradient(), by_torchvision, seed) for seed in range(200)]
        assert seen(gradient(), "".join(on_top) or "standard", 1.0) == theirs

    @pytest.mark.parametrize("name", ["standard", "trivial", "randaugment"])
    def test_at_zero_flips_of_the_middle_are_left(self, name: str) -> None:
        square = gradient(64, 48).crop((8, 0, 56, 48))
        middle = eval_transform(Preprocessing(32, 32))(np.array(square))
        expected = {middle.tobytes(), middle[:, ::-1].tobytes()}
        assert set(seen(gradient(64, 48), name, 0.0)) == expected

    @pytest.mark.parametrize("strength", [0.25, 0.5, 1.0])
    def test_crops_keep_the_more_the_weaker_it_is(self, strength: float) -> None:
        """The darkest to the brightest that is left of a gradient, in both directions."""
        shown = (
            np.frombuffer(x, np.uint8).reshape(-1, 3)
            for x in seen(gradient(), "standard", strength)
        )
        areas = [np.prod(np.ptp(pixels[:, :2].astype(float), axis=0) / 255) for pixels in shown]
        assert min(areas) == pytest.approx(1 - 0.65 * strength, abs=0.06)

    def test_randaugment_has_a_part_of_the_magnitude(self) -> None:
        for strength, magnitude in ((0.01, 1), (0.34, 3), (0.67, 6)):
            on_top = _on_top(Augmentation("randaugment", strength), InterpolationMode.BILINEAR)
            assert on_top.magnitude == magnitude

    def test_trivialaugment_is_for_a_part_of_the_pictures(self) -> None:
        plain, all_of_it = seen(gradient(), "standard", 0.5), seen(gradient(), "trivial", 0.5)
        changed = sum(one != other for one, other in zip(plain, all_of_it, strict=True))
        assert 70 < changed < 110  # half of 200, but for operations that change nothing


def test_a_very_long_picture_does_not_take_all_memory() -> None:
    """Resizing its shorter side to 40 would make 40 x 4,000,000 pixels."""
    image = Image.new("RGB", (1, 100_000), "red")
    pixels = np.array(image)
    assert trim(pixels).shape == (8, 1, 3)
    assert trim(pixels.transpose(1, 0, 2)).shape == (1, 8, 3)
    assert eval_transform(SMALL)(pixels).shape == (32, 32, 3)


def test_trimming_keeps_the_middle() -> None:
    image = noisy(1, 1000, 20)
    untrimmed = ImageClassification(crop_size=32, resize_size=40)(image)
    assert (given(image) - untrimmed).abs().max() < 0.02  # a level, by std and 255


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
