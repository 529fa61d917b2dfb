"""A picture and its mask changed together: the picture smoothly, the mask to the nearest pixel.

Both are Pillow's, so that both lie on the same grid: its nearest takes the pixel under the centre,
as its smooth resizing does, while torch's takes the one under the corner. All randomness is drawn
from torch's global CPU generator, which `transforms.drawing_from` lends out.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms import functional as F

from engine.contract.preprocessing import Preprocessing
from engine.data.masks import IGNORED
from engine.data.transforms import CROP_RATIO, CROP_SCALE, MAGNITUDE, Augmentation, middle

Pair = tuple[Image.Image, Image.Image]
"""An RGB picture, and its mask in mode I; of one size."""
Joint = Callable[[Image.Image, Image.Image], Pair]
"""To a pair of image_size x image_size."""

_NEAREST = InterpolationMode.NEAREST
_STEPS = 30
"""Between no magnitude and the largest, in RandAugment and in TrivialAugment."""
_AT_ONCE = 2
"""Operations of RandAugment on a picture."""


def eval_joint(pre: Preprocessing) -> Joint:
    """What the weights were trained to see: resize, centre crop. No randomness."""

    how = InterpolationMode(pre.interpolation)
    return lambda image, mask: (_middle(image, pre, how), eval_mask(mask, pre))


def eval_mask(mask: Image.Image, pre: Preprocessing) -> Image.Image:
    """What `eval_joint` makes of a mask; its picture is not needed."""
    return _middle(mask, pre, _NEAREST)


def _middle(image: Image.Image, pre: Preprocessing, how: InterpolationMode) -> Image.Image:
    trimmed = image.crop(middle(*image.size))
    found: Image.Image = F.center_crop(F.resize(trimmed, pre.resize_size, how), pre.image_size)
    return found


def train_joint(pre: Preprocessing, asked: Augmentation) -> Joint:
    """As `transforms.train_transform` of the same name and strength.

    TrivialAugment and RandAugment are torchvision's, operation by operation; where they move
    pixels, the mask moves along, and what comes in from outside does not count.
    """
    if asked.name == "none":
        return eval_joint(pre)
    least, most = CROP_SCALE
    scale = [most - asked.strength * (most - least), most]
    ratio = [bound**asked.strength for bound in CROP_RATIO]
    side = [pre.image_size, pre.image_size]
    how = InterpolationMode(pre.interpolation)

    def transform(image: Image.Image, mask: Image.Image) -> Pair:
        box = RandomResizedCrop.get_params(image, scale, ratio)
        image = F.resized_crop(image, *box, side, how)
        mask = F.resized_crop(mask, *box, side, _NEAREST)
        if torch.rand(()) < 0.5:
            image, mask = F.hflip(image), F.hflip(mask)
        return _on_top(asked, how, image, mask)

    return transform


class _Extremes(NamedTuple):
    """The largest magnitudes of a policy's operations."""

    shear: float
    """Tangent."""
    shift: float
    """Pixels."""
    turn: float
    """Degrees."""
    colour: float
    """How far a factor is from 1."""
    bits: int
    """That posterizing takes away."""


_TRIVIAL = _Extremes(0.99, 32.0, 135.0, 0.99, 6)
_GEOMETRIC = ("shear_x", "shear_y", "shift_x", "shift_y", "turn")
_PHOTOMETRIC = {
    "brightness": F.adjust_brightness,
    "saturation": F.adjust_saturation,
    "contrast": F.adjust_contrast,
    "sharpness": F.adjust_sharpness,
}
_UNSIGNED = ("identity", "posterize", "solarize", "autocontrast", "equalize")
_OPERATIONS = (*_GEOMETRIC, *_PHOTOMETRIC, *_UNSIGNED)


def _on_top(
    asked: Augmentation, how: InterpolationMode, image: Image.Image, mask: Image.Image
) -> Pair:
    if asked.strength == 0:
        return image, mask
    if asked.name == "randaugment":
        extremes = _Extremes(0.3, 150 / 331 * image.width, 30.0, 0.9, 4)
        share = max(1, round(MAGNITUDE * asked.strength)) / _STEPS
        for _ in range(_AT_ONCE):
            image, mask = _changed(share, extremes, how, image, mask)
    elif asked.name == "trivial" and torch.rand(()) < asked.strength:
        share = int(torch.randint(_STEPS + 1, ())) / _STEPS
        image, mask = _changed(share, _TRIVIAL, how, image, mask)
    return image, mask


def _changed(
    share: float,
    extremes: _Extremes,
    how: InterpolationMode,
    image: Image.Image,
    mask: Image.Image,
) -> Pair:
    """One operation, each equally likely, at a share of its largest magnitude."""
    name = _OPERATIONS[int(torch.randint(len(_OPERATIONS), ()))]
    signed = -share if torch.rand(()) < 0.5 else share
    if name in _GEOMETRIC:
        moved = partial(_moved, name, signed, extremes)
        return moved(image, how, 0), moved(mask, _NEAREST, IGNORED)
    if name in _PHOTOMETRIC:
        return _PHOTOMETRIC[name](image, 1 + signed * extremes.colour), mask
    return _repainted(name, share, extremes, image), mask


def _moved(
    name: str,
    signed: float,
    extremes: _Extremes,
    image: Image.Image,
    how: InterpolationMode,
    fill: int,
) -> Image.Image:
    shear = math.degrees(math.atan(signed * extremes.shear))
    shift = int(signed * extremes.shift)
    angle, translate, shears, center = {
        "shear_x": (0.0, [0, 0], [shear, 0.0], [0, 0]),
        "shear_y": (0.0, [0, 0], [0.0, shear], [0, 0]),
        "shift_x": (0.0, [shift, 0], [0.0, 0.0], None),
        "shift_y": (0.0, [0, shift], [0.0, 0.0], None),
        "turn": (-signed * extremes.turn, [0, 0], [0.0, 0.0], None),
    }[name]
    moved: Image.Image = F.affine(image, angle, translate, 1.0, shears, how, fill, center)
    return moved


def _repainted(name: str, share: float, extremes: _Extremes, image: Image.Image) -> Image.Image:
    """`identity` leaves it as it is."""
    match name:
        case "posterize":
            image = F.posterize(image, 8 - round(share * extremes.bits))
        case "solarize":
            image = F.solarize(image, 255 * (1 - share))
        case "autocontrast":
            image = F.autocontrast(image)
        case "equalize":
            image = F.equalize(image)
    return image
