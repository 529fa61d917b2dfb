"""Small folders of pictures and masks."""

from pathlib import Path

import numpy as np
from PIL import Image

from engine.contract.config import Config, DataConfig, ModelConfig

SIDE = 32


def save(folder: Path, name: str, mask: np.ndarray | None = None, seed: int = 0) -> None:
    """A picture and its mask, below `folder`/images and `folder`/masks."""
    noise = np.random.default_rng(seed)
    if mask is None:
        mask = noise.integers(0, 3, (SIDE, SIDE)).astype(np.uint8)
    height, width = mask.shape[:2]
    image = Image.fromarray(noise.integers(0, 256, (height, width, 3)).astype(np.uint8))
    for kind, picture in (("images", image), ("masks", Image.fromarray(mask))):
        file = folder / kind / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file)


def config(path: Path, **tables) -> Config:
    plain = {
        "model": ModelConfig("torchvision/lraspp_mobilenet_v3_large", "none"),
        "data": DataConfig(str(path), image_size=SIDE, batch_size=2),
    }
    return Config(task="semantic-segmentation", **(plain | tables))
