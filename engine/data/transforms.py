"""From an RGB picture to the model's input, with or without random changes.

Every transform here draws from torch's global CPU generator only, which `augmented` lends out for
one picture at a time: what a picture becomes depends on its seed, not on who was read before it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms import functional as v1

from engine.contract.config import Augment
from engine.contract.preprocessing import Preprocessing

Transform = Callable[[Image.Image], Image.Image]
"""An RGB picture of any size to one of image_size x image_size."""

CROP_SCALE = (0.35, 1.0)
"""Share of a picture's area that a random crop keeps. Training from scratch takes (0.08, 1)
(Szegedy et al. 2015, torchvision's default); fine-tuning sets are small and the filters are there
already, so crops that may miss the object altogether cost more than they teach. It also means that
a picture decoded at twice the model's size is never scaled up again."""

CROP_RATIO = (3 / 4, 4 / 3)
"""Width to height of a random crop; torchvision's default."""
MAGNITUDE = 9
"""Of RandAugment, in its 31 steps; torchvision's default."""
_LONGEST = 8
_MASK = 2**64 - 1


class Augmentation(NamedTuple):
    """The random changes to training pictures; `train_transform` says what they are."""

    name: Augment = "none"
    strength: float = 1.0
    """From 0 to 1, which is as published."""


def eval_transform(pre: Preprocessing) -> Transform:
    """What the weights were trained to see: resize, centre crop. No randomness."""
    return v2.Compose(  # type: ignore[no-any-return]
        [
            trim,
            v2.Resize(pre.resize_size, interpolation=InterpolationMode(pre.interpolation)),
            v2.CenterCrop(pre.image_size),
        ]
    )


def train_transform(pre: Preprocessing, asked: Augmentation) -> Transform:
    """`none` is `eval_transform`; `standard` a random crop and flip; `trivial` adds
    TrivialAugmentWide (Müller and Hutter 2021), `randaugment` RandAugment (Cubuk et al. 2019, two
    operations of magnitude 9 in 31), in the order of torchvision's reference recipe.

    A strength of s lets crops keep at least 1 - 0.65 s of the area, their shape vary by the s-th
    power of the published ratio, and RandAugment's magnitude be 9 s, rounded, but 1 at least. Of
    TrivialAugment, which draws its magnitudes itself, it is the share of pictures that get it. At 0
    the middle of the picture is left, and flips.
    """
    name, strength = asked
    if name == "none":
        return eval_transform(pre)
    how = InterpolationMode(pre.interpolation)
    least, most = CROP_SCALE
    return v2.Compose(  # type: ignore[no-any-return]
        [
            v2.RandomResizedCrop(
                pre.image_size,
                scale=(most - strength * (most - least), most),
                ratio=[bound**strength for bound in CROP_RATIO],
                interpolation=how,
            ),
            v2.RandomHorizontalFlip(),
            *_on_top(asked, how),
        ]
    )


def _on_top(asked: Augmentation, how: InterpolationMode) -> list[Transform]:
    name, strength = asked
    if strength == 0:
        return []
    if name == "randaugment":
        magnitude = max(1, round(MAGNITUDE * strength))
        return [v2.RandAugment(magnitude=magnitude, interpolation=how)]
    if name == "trivial":
        whole = v2.TrivialAugmentWide(interpolation=how)
        return [whole if strength == 1 else v2.RandomApply([whole], p=strength)]
    return []


class ToInput:
    """The pixels of a picture as the model's numbers: scaled to 0..1, then normalised.

    Looks each of the 256 values up in a table that torchvision's own operations made: the same
    bits, in one pass. Those operations would split each picture among OpenMP threads, and where a
    neighbour keeps a core busy that makes reading many times slower.
    """

    def __init__(self, pre: Preprocessing) -> None:
        values = torch.arange(256, dtype=torch.uint8).expand(3, 1, 256)
        # v1: v2's scaling differs in the last bit from what weights' own transforms do
        scaled = v1.convert_image_dtype(values, torch.float32)
        normalised = v1.normalize(scaled, list(pre.mean), list(pre.std))
        self._table: NDArray[np.float32] = normalised[:, 0].numpy()

    def __call__(self, image: Image.Image, out: NDArray[np.float32]) -> None:
        """Write an RGB picture of height H and width W to `out`, (3, H, W)."""
        pixels = np.asarray(image)
        for channel, values in enumerate(self._table):
            np.take(values, pixels[..., channel], out=out[channel], mode="clip")


def trim(image: Image.Image) -> Image.Image:
    """The middle of a very long picture: resizing its shorter side up could take all memory."""
    width, height = image.size
    longest = _LONGEST * min(width, height)
    if max(width, height) <= longest:
        return image
    x, y = max(0, width - longest) // 2, max(0, height - longest) // 2
    return image.crop((x, y, x + min(width, longest), y + min(height, longest)))


def augmented(transform: Transform, image: Image.Image, seed: int) -> Image.Image:
    """`transform` of `image`, its randomness drawn from `seed` alone; the global generator is left
    as it was."""
    with drawing_from(seed):
        return transform(image)


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """torch's global CPU generator, lent out: begun at `seed`, and afterwards as it was."""
    with torch.random.fork_rng(devices=[]):
        # not torch.manual_seed: that one would reseed the generators of the GPUs as well
        torch.default_generator.manual_seed(seed)
        yield


def mix(*numbers: int) -> int:
    """A seed of 64 well-mixed bits from several numbers: (0, 1) and (1, 0) share nothing.

    The finaliser of SplitMix64 (Steele, Lea and Flood 2014), chained.
    """
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state
