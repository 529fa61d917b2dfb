"""What all contenders but ftui share: readers, network and optimizer, so that what differs is the
loop; and the watch that sees them. A contender is a module with `train(job, watch)`.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import get_model
from torchvision.transforms import InterpolationMode

from tests.benchmarks.race.asked import MOMENTUM, Job, Seen


class Watch:
    """Sees a run by torch's own hook behind each step, so that it costs everybody the same."""

    def __init__(self, started: float) -> None:
        """`started` is when the process was, as `time.time` gives it."""
        self.seen = Seen()
        self._started = started
        self._steps = self._left = 0
        self._began = 0.0

    def begin(self, optimizer: torch.optim.Optimizer | None, steps_an_epoch: int) -> None:
        """Training begins now."""
        self._steps = self._left = steps_an_epoch
        self._began = time.perf_counter()
        if optimizer is not None:
            self.attach(optimizer)

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Take note of its steps."""
        optimizer.register_step_post_hook(self._stepped)

    def evaluated(self, accuracy: float) -> None:
        """An evaluation is over; the next epoch begins now."""
        self.seen.evaluations.append((time.time() - self._started, accuracy))
        self._began = time.perf_counter()

    def _stepped(self, *_: Any) -> None:
        self._left -= 1
        if self.seen.first_step and self._left:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seen.first_step = self.seen.first_step or time.time() - self._started
        if self._left == 0:
            now = time.perf_counter()
            self.seen.epochs.append(now - self._began)
            self._began, self._left = now, self._steps


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def network(job: Job) -> nn.Module:
    """With its weights, frozen as tutorials do it: by `requires_grad` alone."""
    torch.manual_seed(job.seed)
    source, _, name = job.model.partition("/")
    if source == "timm":
        import timm

        module: nn.Module = timm.create_model(name, num_classes=job.classes)
    else:
        options = {"image_size": job.preprocessing.image_size} if name.startswith("vit") else {}
        module = get_model(name, num_classes=job.classes, **options)
    module.load_state_dict(load_file(job.weights))
    module.requires_grad_(False)
    for path in job.trains:
        module.get_submodule(path).requires_grad_(True)
    return module.to(device())


def optimizer(module: nn.Module, job: Job) -> torch.optim.Optimizer:
    """Over what trains."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if job.optimizer == "adamw":
        return torch.optim.AdamW(trained, lr=job.lr, weight_decay=0.0)
    return torch.optim.SGD(trained, lr=job.lr, momentum=MOMENTUM)


def criterion(job: Job) -> nn.CrossEntropyLoss:
    return nn.CrossEntropyLoss(label_smoothing=job.smoothing)


def readers(job: Job) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Training and validation data, read in the training process by Pillow."""
    pre, folder = job.preprocessing, Path(job.data)
    how = InterpolationMode(pre.interpolation)
    as_numbers = [transforms.ToTensor(), transforms.Normalize(pre.mean, pre.std)]
    middle: list[Any] = [
        transforms.Resize(pre.resize_size, how),
        transforms.CenterCrop(pre.image_size),
    ]
    random: list[Any] = [
        transforms.RandomResizedCrop(pre.image_size, interpolation=how),
        transforms.RandomHorizontalFlip(),
    ]
    train = ImageFolder(
        str(folder / "train"), transforms.Compose((random if job.augment else middle) + as_numbers)
    )
    val = ImageFolder(str(folder / "val"), transforms.Compose(middle + as_numbers))
    return DataLoader(train, job.batch_size, shuffle=True), DataLoader(val, job.batch_size)


@torch.no_grad()
def accuracy(module: nn.Module, batches: DataLoader[Any]) -> float:
    """In eval mode, in which the module is left."""
    module.eval()
    right = sum(
        int((module(images.to(device())).argmax(1) == labels.to(device())).sum())
        for images, labels in batches
    )
    return right / len(batches.dataset)  # type: ignore[arg-type]


def batches(loader: DataLoader[Any]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """An epoch, on the device."""
    for images, labels in loader:
        yield images.to(device()), labels.to(device())
