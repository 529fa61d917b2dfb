"""torchvision's own data sets: found on the disk, or downloaded where there is a network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from PIL import Image
from torchvision import datasets

from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.events import DataIndexed, FileSkipped
from engine.contract.paths import expand
from engine.contract.preprocessing import Preprocessing
from engine.contract.text import did_you_mean, plain
from engine.data.pictures import Pictures
from engine.data.samples import counts_of, indexed
from engine.models.source import Tell
from engine.places import TORCHVISION, known_set

_BY_TRAIN = ("MNIST", "FashionMNIST", "KMNIST", "QMNIST", "CIFAR10", "CIFAR100", "USPS")
_SPLITS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    **dict.fromkeys(_BY_TRAIN, ({"train": True}, {"train": False})),
    **dict.fromkeys(
        ("SVHN", "STL10", "Food101", "GTSRB", "Country211", "RenderedSST2"),
        ({"split": "train"}, {"split": "test"}),
    ),
    **dict.fromkeys(
        ("Flowers102", "DTD", "FGVCAircraft", "Imagenette"), ({"split": "train"}, {"split": "val"})
    ),
    "OxfordIIITPet": ({"split": "trainval"}, {"split": "test"}),
    "EMNIST": ({"split": "balanced", "train": True}, {"split": "balanced", "train": False}),
}
"""Name of a class in `torchvision.datasets` to its arguments for training and for validation: its
own validation pictures where it has some, else its test pictures."""

_LABELS = ("targets", "labels", "_labels")  # where the classes keep them


@dataclass(frozen=True)
class KnownIndex:
    """As `engine.data.samples.DataIndex`, of a data set that torchvision reads."""

    name: str
    classes: list[str]
    train: Any
    """A data set of (PIL picture, label)."""
    val: Any
    skipped: list[FileSkipped]
    held_out = False

    def name_of(self, number: int) -> str:
        return f"{self.name} val {number}"

    @property
    def digest(self) -> str:
        return f"{TORCHVISION}{self.name}: {len(self.train)}"

    def told(self) -> DataIndexed:
        return indexed(self.classes, self.counts(self.train), self.counts(self.val), "top1")

    def counts(self, part: Any) -> list[int]:
        """How many pictures of each class."""
        return counts_of(labels_of(part).tolist(), len(self.classes))


def index_known(config: Config, tell: Tell) -> KnownIndex:
    """Raises `UserError` where the data set is unknown, or neither there nor to be had."""
    name = known_set(config.data.path)
    if name not in _SPLITS:
        hint = did_you_mean(name, _SPLITS) or f"; there are {', '.join(sorted(_SPLITS))}."
        raise UserError(f'data.path: no data set "{plain(name)}" of torchvision is known{hint}')
    root = _root(config.images.root)
    train, val = (_opened(name, root, options, tell) for options in _SPLITS[name])
    return KnownIndex(name, _classes(train), train, val, [])


def labels_of(part: Any) -> np.ndarray:
    """(N,), int64."""
    own = next(getattr(part, key) for key in _LABELS if hasattr(part, key))
    return np.asarray(own, dtype=np.int64)


def _root(named: str) -> Path:
    if named != "auto":
        return expand(named).absolute()
    return Path(torch.hub.get_dir()).parent / "datasets"


def _opened(name: str, root: Path, options: dict[str, Any], tell: Tell) -> Any:
    kind = getattr(datasets, name)
    tell(f"reading {name} in {plain(root)}")
    try:
        return kind(root, download=False, **options)
    except (RuntimeError, OSError, ValueError):  # not there, or not whole
        pass
    tell(f"downloading {name} into {plain(root)}")
    try:
        root.mkdir(parents=True, exist_ok=True)
        return kind(root, download=True, **options)
    except (RuntimeError, OSError, ValueError, URLError) as error:
        raise UserError(
            f"data.path: {name} is not in {plain(root)} and can't be downloaded "
            f"({plain(error, 100)}): put {_files(kind)} into {plain(root / _folder(kind, name))}, "
            "or set images.root to where they are."
        ) from None


def _files(kind: Any) -> str:
    """What has to be there, by name."""
    if hasattr(kind, "resources"):
        return ", ".join(file for file, _ in kind.resources)
    named = getattr(kind, "filename", None) or getattr(kind, "_URL", None)
    return str(named).rpartition("/")[2] if named else "its files, as torchvision unpacks them,"


def _folder(kind: Any, name: str) -> str:
    return f"{name}/raw" if hasattr(kind, "resources") else ""


def _classes(part: Any) -> list[str]:
    named = getattr(part, "classes", None) or range(int(labels_of(part).max()) + 1)
    return [plain(name) for name in named]


class KnownPictures(Pictures):
    """Of a data set of torchvision, which reads them itself."""

    def __init__(self, part: Any, pre: Preprocessing, seed: int, keep: int = 0) -> None:
        super().__init__(labels_of(part), pre, seed, keep)
        self._part = part

    def _read(self, position: int) -> Image.Image:
        image: Image.Image = self._part[position][0]
        return image.convert("RGB")
