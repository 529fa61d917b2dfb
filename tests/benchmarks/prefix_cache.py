"""What remembering the frozen prefix saves: head-only resnet18 at 224 pixels, and a bare loop.

    python -m tests.benchmarks.prefix_cache [PICTURES] [EPOCHS]

Random pictures in memory and random weights, so only time is measured. The bare loop is the one of
every tutorial: the backbone frozen, in train mode. Prints seconds an epoch and ratios.
"""

import sys
import tempfile
import time
from pathlib import Path

import torch
from msgspec.structs import replace
from torch import nn
from torchvision.models import resnet18

from engine.contract import events as e
from engine.contract.config import DataConfig
from engine.contract.rules import Rule
from engine.contract.training_tables import TrainingConfig
from engine.loop import train
from tests.engine.sessions import Batches, TrainTensors, config, session

SIZE = 16


def bare(images: torch.Tensor, labels: torch.Tensor, epochs: int) -> list[float]:
    """Seconds of each epoch."""
    module = _model()
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name.startswith("fc"))
    optimizer = torch.optim.SGD(module.fc.parameters(), 0.01, momentum=0.9)
    seconds = []
    for _ in range(epochs):
        began = time.perf_counter()
        for some in torch.randperm(len(images)).split(SIZE):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(images[some]), labels[some]).backward()
            optimizer.step()
        seconds.append(time.perf_counter() - began)
    return seconds


def ours(images: torch.Tensor, labels: torch.Tensor, epochs: int, cache: str) -> list[float]:
    """Seconds of each epoch, the pass that fills the store in the first, evaluation left out."""
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        training = TrainingConfig(epochs=epochs, cache=cache)  # type: ignore[arg-type]
        asked = config(trainable=[Rule("*", train=False), Rule("fc")], training=training)
        asked = replace(asked, data=DataConfig(path="pictures", batch_size=SIZE))
        data = TrainTensors(images, labels, SIZE)
        made = session(Path(folder), asked, _model(), data, Batches())
        made.val_data = _first(data)
        began, spent, batch = time.perf_counter(), 0.0, 0
        for event in train(made):
            now = time.perf_counter()
            if isinstance(event, e.Evaluated):
                seconds.append(spent)
                spent = 0.0
            elif made.progress.batch != batch or event is None:
                spent += now - began
            began, batch = now, made.progress.batch
    return seconds


def _first(data: TrainTensors) -> Batches:
    return Batches([next(data.in_order())])


def _model() -> nn.Module:
    torch.manual_seed(0)
    module = resnet18()
    module.fc = nn.Linear(512, 3)

    return module


def main() -> None:
    count, epochs = (int(x) for x in [*sys.argv[1:], "128", "4"][:2])
    images, labels = torch.randn(count, 3, 224, 224), torch.randint(0, 3, (count,))
    rows = {
        "bare loop": bare(images, labels, epochs),
        "ftui, cache off": ours(images, labels, epochs, "off"),
        "ftui, cache auto": ours(images, labels, epochs, "auto"),
    }
    plain = sorted(rows["bare loop"][1:])[(epochs - 1) // 2]
    for name, seconds in rows.items():
        later = sorted(seconds[1:])[(epochs - 1) // 2]
        print(f"{name:18} first {seconds[0]:8.4f} s, later {later:8.4f} s, {plain / later:8.1f} x")


if __name__ == "__main__":
    main()
