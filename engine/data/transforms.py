"""From an RGB picture to the model's input, with or without random changes.

Resizing is torch's, whose kernel for bytes takes a third of Pillow's time and comes to the same
but for a level here and there. It runs on one core; what else torch could do here it would split
among OpenMP threads, which makes reading many times slower where a neighbour keeps a core busy:
NumPy cuts and flips. What is put on top of a crop is Pillow's, which is quicker at that.

Every transform here draws from torch's global CPU generator only, which `augmented` lends out for
one picture at a time: what a picture becomes depends on its seed, not on who was read before it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, RandomResizedCrop, v2

from engine.contract.config import Augment
from engine.contract.preprocessing import Preprocessing

Pixels = NDArray[np.uint8]
"""Of an RGB picture, (H, W, 3)."""
Transform = Callable[[Pixels], Pixels]
"""A picture of any size to one of image_size x image_size; what it is given is left as it is."""

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

    def transform(pixels: Pixels) -> Pixels:
        whole = _resized(trim(pixels), [pre.resize_size], pre.interpolation)
        return _pixels(v2.functional.center_crop(whole, [pre.image_size]))

    return transform


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
    least, most = CROP_SCALE
    scale = [most - strength * (most - least), most]
    ratio = [bound**strength for bound in CROP_RATIO]
    side = [pre.image_size, pre.image_size]
    on_top = _on_top(asked, InterpolationMode(pre.interpolation))

    def transform(pixels: Pixels) -> Pixels:
        top, left, height, width = RandomResizedCrop.get_params(_tensor(pixels), scale, ratio)
        crop = np.ascontiguousarray(pixels[top : top + height, left : left + width])
        seen = _pixels(_resized(crop, side, pre.interpolation))
        if torch.rand(1) < 0.5:
            seen = seen[:, ::-1]
        return seen if on_top is None else np.asarray(on_top(Image.fromarray(seen)))

    return transform


def _on_top(asked: Augmentation, how: InterpolationMode) -> Any:
    """A transform of pictures of Pillow's, or None."""
    name, strength = asked
    if strength == 0 or name == "standard":
        return None
    if name == "randaugment":
        magnitude = max(1, round(MAGNITUDE * strength))
        return v2.RandAugment(magnitude=magnitude, interpolation=how)
    whole = v2.TrivialAugmentWide(interpolation=how)
    return whole if strength == 1 else v2.RandomApply([whole], p=strength)


def _resized(pixels: Pixels, size: list[int], interpolation: str) -> Tensor:
    """(3, H, W), a size of one number being that of the shorter side; `pixels` are contiguous."""
    how = InterpolationMode(interpolation)
    if how is InterpolationMode.NEAREST:  # torch's own takes the pixel under the corner
        how = InterpolationMode.NEAREST_EXACT
    found: Tensor = v2.functional.resize(_tensor(pixels), size, how)
    return found


def _tensor(pixels: Pixels) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _pixels(tensor: Tensor) -> Pixels:
    found: Pixels = tensor.permute(1, 2, 0).numpy()
    return found


class Normalise:
    """The bytes of pictures as the model's numbers: scaled to 0..1, then normalised.

    On the device that trains, so that a batch travels in a quarter of the memory.
    """

    def __init__(self, pre: Preprocessing) -> None:
        self._mean, self._std = (torch.tensor(x)[:, None, None] for x in (pre.mean, pre.std))

    def __call__(self, images: Tensor) -> Tensor:
        """(B, 3, H, W), uint8, to float32.

        As `torchvision.transforms.functional` does, whose check of `std` would wait for a GPU.
        """
        device = images.device
        self._mean, self._std = self._mean.to(device), self._std.to(device)
        return images.float().div_(255).sub_(self._mean).div_(self._std)


def trim(pixels: Pixels) -> Pixels:
    """The middle of a very long picture: resizing its shorter side up could take all memory."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = middle(width, height)
    return np.ascontiguousarray(pixels[top:bottom, left:right])


def middle(width: int, height: int) -> tuple[int, int, int, int]:
    """What `trim` leaves of a picture, as left, top, right and bottom."""
    longest = _LONGEST * min(width, height)
    x, y = max(0, width - longest) // 2, max(0, height - longest) // 2
    return x, y, x + min(width, longest), y + min(height, longest)


def augmented(transform: Transform, pixels: Pixels, seed: int) -> Pixels:
    """`transform` of a picture, its randomness drawn from `seed` alone; the global generator is
    left as it was."""
    with drawing_from(seed):
        return transform(pixels)


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
