"""What a picture costs to load: this package's way beside that of every tutorial.

    python -m tests.benchmarks.loading [ROUNDS]

Real pictures (two photographs that scikit-learn ships, pictures of the demo) as JPEGs of 500 x 375
and of 12 megapixels; batches of 16 at 224 pixels, read in one process on one thread, until they are
numbers for the model. The ways take turns; prints the median of the processor time in milliseconds
a picture, and the ratio to the tutorial of the same round.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision import io, transforms
from torchvision.transforms import v2

from engine.contract.preprocessing import Preprocessing
from engine.data.loader import Key
from engine.data.pictures import LabelledPictures
from engine.data.samples import Sample
from engine.data.transforms import CROP_SCALE, Augmentation, Normalise

SIZE, PRE = 16, Preprocessing()
DEMO = Path(__file__).parents[2] / "ftui/demo/pictures/train"
ROOM = 2**30
Way = Callable[[], Any]


def written(folder: Path, width: int, height: int) -> list[Path]:
    photos = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    drawn = [Image.open(path) for path in sorted(DEMO.rglob("*.jpg"))[::60]]
    images = ([*photos * 4, *drawn] * SIZE)[:SIZE]
    paths = [folder / f"{width}-{number}.jpg" for number in range(SIZE)]
    for number, path in enumerate(paths):
        image = images[number].convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
        image.rotate(number % 4 * 2).save(path, quality=90)
    return paths


def tutorial(paths: list[Path], transform: Any) -> torch.Tensor:
    return torch.stack([transform(Image.open(path).convert("RGB")) for path in paths])


def on_tensors(paths: list[Path], transform: Any) -> torch.Tensor:
    return torch.stack(
        [transform(io.decode_jpeg(io.read_file(str(path)), "RGB")) for path in paths]
    )


def ours(pictures: LabelledPictures, augmentation: Augmentation) -> torch.Tensor:
    batch = pictures[Key(1, tuple(range(SIZE)), augmentation)]
    return Normalise(PRE)(batch.inputs)


def ways(paths: list[Path], augment: bool) -> dict[str, Way]:
    """The tutorial's first."""
    crops = {
        kind: [
            kind.RandomResizedCrop(PRE.image_size, scale=CROP_SCALE),
            kind.RandomHorizontalFlip(),
        ]
        if augment
        else [kind.Resize(PRE.resize_size), kind.CenterCrop(PRE.image_size)]
        for kind in (transforms, v2)
    }
    v1 = [*crops[transforms], transforms.ToTensor(), transforms.Normalize(PRE.mean, PRE.std)]
    tensors = [*crops[v2], v2.ToDtype(torch.float32, scale=True), v2.Normalize(PRE.mean, PRE.std)]
    samples = [Sample(path, 0) for path in paths]
    seen = Augmentation("standard" if augment else "none")
    return {
        "PIL + v1, as in tutorials": partial(tutorial, paths, transforms.Compose(v1)),
        "decode_jpeg + v2 on tensors": partial(on_tensors, paths, v2.Compose(tensors)),
        "ftui, first epoch": partial(ours, LabelledPictures(samples, PRE, 0), seen),
        "ftui, later epochs": partial(ours, LabelledPictures(samples, PRE, 0, ROOM), seen),
    }


def compare(title: str, each: dict[str, Way], rounds: int) -> None:
    print(title)
    taken: dict[str, list[float]] = {name: [] for name in each}
    for turn in range(rounds + 1):
        for name, way in each.items():
            began = time.process_time()
            way()
            if turn:  # the first one fills what is kept
                taken[name].append((time.process_time() - began) / SIZE * 1000)
    plain = next(iter(taken.values()))
    for name, values in taken.items():
        ratios = [mine / theirs for mine, theirs in zip(values, plain, strict=True)]
        print(f"  {name:28} {median(values):7.2f} ms  {median(ratios):5.2f}")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        small, big = (written(Path(folder), *size) for size in ((500, 375), (4000, 3000)))
        compare("500 x 375, crops and flips", ways(small, augment=True), rounds)
        compare("500 x 375, evaluation", ways(small, augment=False), rounds)
        compare("12 megapixels, crops and flips", ways(big, augment=True), max(1, rounds // 10))


if __name__ == "__main__":
    main()
