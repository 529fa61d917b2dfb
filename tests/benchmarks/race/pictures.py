"""Pictures and weights for the race, the same each time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from msgspec.structs import replace
from PIL import Image
from safetensors.torch import save_file

from engine import models
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.preprocessing import Preprocessing

DEMO = Path(__file__).parents[3] / "ftui" / "demo" / "pictures"
SIZE = (500, 375)
GRAIN = 4.0  # of 255: a drawing with it is about as large a file as a photograph


def write(folder: Path, count: int, seed: int = 0) -> None:
    """So many JPEGs of 500x375 in train/, and one a class in val/, of the demo's drawings."""
    generator = np.random.default_rng(seed)
    for part, wanted in (("train", count), ("val", 0)):
        classes = sorted(path for path in (DEMO / part).iterdir() if path.is_dir())
        for number in range(wanted or len(classes)):
            of_class = sorted(classes[number % len(classes)].iterdir())
            source = of_class[number // len(classes) % len(of_class)]
            target = folder / part / source.parent.name / f"{number}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            _grainy(source, generator).save(target, quality=90)


def _grainy(source: Path, generator: np.random.Generator) -> Image.Image:
    pixels = np.asarray(Image.open(source).convert("RGB").resize(SIZE), np.float32)
    pixels = pixels + generator.normal(0, GRAIN, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def start(
    file: Path, model: str, weights: str, size: int, classes: int, say: Callable[[str], None]
) -> Preprocessing:
    """Write the weights that all begin with, a new head included; how pictures are read for it."""
    torch.manual_seed(0)
    config = Config(
        task="image-classification",
        model=ModelConfig(name=model, weights=weights),
        data=DataConfig(path="", image_size=size),
    )
    loaded = models.load(config, classes, say)
    save_file(loaded.module.state_dict(), file)
    pre = loaded.info.preprocessing
    return replace(pre) if pre.image_size == size else pre.at(size)
