"""The same loss curve whether what is frozen is computed each time or once: bit for bit, in fp32,
on one thread, of real architectures at a small size."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from torch import Tensor, nn
from torchvision import models as zoo

from engine import device, restore
from engine.contract import events as e
from engine.contract.config import Config, ModelConfig
from engine.contract.preprocessing import Preprocessing
from engine.contract.rules import Rule
from engine.contract.training_tables import TrainingConfig
from engine.data import Batch, order
from engine.data.batch import Inputs, on_each
from engine.models.describe import model_info
from engine.session import Session
from engine.tasks.classifying import Classifying
from engine.tasks.text_classification import ClassifyingTexts
from tests.engine.sessions import CLASSES, COUNTS, config, of, run, same, tensors
from tests.engine.test_prefix_cut import bert, gpt2, swin, vit

pytestmark = pytest.mark.usefixtures("one_thread", "unhindered")
COUNT, SIZE = 12, 4


class Data:
    """Given samples, three batches of four an epoch; as training and as validation data."""

    samples, varies = COUNT, False

    def __init__(self, inputs: Inputs, targets: Tensor) -> None:
        self._inputs, self._targets = inputs, targets

    def __len__(self) -> int:
        return COUNT // SIZE

    def __iter__(self) -> Iterator[Batch]:
        return self.in_order()

    def epoch(self, number: int, skip_batches: int = 0) -> Iterator[Batch]:
        return map(self._batch, self.numbers(number, skip_batches))

    def numbers(self, number: int, skip_batches: int = 0, views: int = 1) -> Iterator[list[int]]:
        return _in_batches(order.shuffled(COUNT, number), skip_batches)

    def in_order(self, skip_batches: int = 0, view: int = 0) -> Iterator[Batch]:
        return map(self._batch, _in_batches(list(range(COUNT)), skip_batches))

    def close(self) -> None:
        pass

    def _batch(self, some: list[int]) -> Batch:
        return Batch(on_each(self._inputs, lambda x: x[some]), self._targets[some], numbers=some)


def _in_batches(numbers: list[int], skip: int) -> Iterator[list[int]]:
    return (numbers[at : at + SIZE] for at in range(skip * SIZE, COUNT, SIZE))


class NextTokens(Classifying):
    """Of GPT-2, as the task has it: of blocks that are all of one length."""

    def outputs(self, module: nn.Module, inputs: Inputs) -> Tensor:
        assert isinstance(inputs, dict)
        logits: Tensor = module(inputs["input_ids"], use_cache=False).logits[:, -1, :3]
        return logits


def images() -> Tensor:
    return torch.randn(COUNT, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def texts() -> dict[str, Tensor]:
    ids = torch.randint(1, 90, (COUNT, 10), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[::2, 7:] = 0  # some are shorter
    return {"input_ids": ids, "attention_mask": mask}


def efficientnet() -> nn.Module:
    return zoo.efficientnet_b0(num_classes=3)


def resnet() -> nn.Module:
    return zoo.resnet18(num_classes=3)


FROZEN = Rule("*", train=False)


@pytest.mark.parametrize(
    ("build", "objective", "trains"),
    [
        (resnet, Classifying, ["fc"]),
        (resnet, Classifying, ["fc", "layer4"]),
        (efficientnet, Classifying, ["classifier"]),
        (efficientnet, Classifying, ["classifier", "features.8"]),
        (vit, Classifying, ["heads"]),
        (vit, Classifying, ["heads", "encoder.layers.encoder_layer_1"]),
        (swin, Classifying, ["head"]),
        (swin, Classifying, ["head", "features.3"]),
        (bert, ClassifyingTexts, ["classifier"]),
        (bert, ClassifyingTexts, ["classifier", "bert.encoder.layer.1", "bert.pooler"]),
        (gpt2, NextTokens, ["transformer.h.1"]),
    ],
)
def test_the_same_loss_curve(tmp_path: Path, build: Any, objective: Any, trains: list[str]) -> None:
    rules = [FROZEN, *map(Rule, trains)]
    plain, cached = (_curve(tmp_path / x, build, objective, rules, x) for x in ("off", "auto"))
    assert cached[0] == {"training", "validation"}
    assert plain[0] == set()
    assert plain[1] == cached[1]
    assert same(plain[2], cached[2])


def _curve(
    folder: Path, build: Any, objective: Any, rules: list[Rule], cache: Any
) -> tuple[set[str], list[float | None], dict[str, Tensor]]:
    folder.mkdir()
    asked: Config = replace(
        config(trainable=rules, training=TrainingConfig(epochs=3, threads=1, cache=cache)),
        model=ModelConfig(name="torchvision/own"),
    )
    torch.manual_seed(0)
    module = build()
    if build is bert:
        module.classifier = nn.Linear(16, 3)
    labels = torch.arange(COUNT) % 3
    inputs = {bert: texts(), gpt2: {"input_ids": texts()["input_ids"]}}.get(build, images())
    data = Data(inputs, labels)
    info = model_info(asked.model.name, module, [], Preprocessing())
    made = Session(
        asked,
        folder,
        info,
        module,
        CLASSES,
        data,
        data,
        device.choose(replace(asked.training, device="cpu")),
        objective(asked, COUNTS),
        restore.progress(asked, info, None),
    )
    from engine.past import Past

    past = Past()
    past.follow(asked)
    restore.begin(made, past, None)
    events = run(made)
    told = {x.data for x in of(e.PrefixCached, events) if x.cut}  # type: ignore[attr-defined]
    losses = [x for each in of(e.StepsTrained, events) for x in each.loss]  # type: ignore[attr-defined]
    judged = [x.loss for x in of(e.Evaluated, events)]  # type: ignore[attr-defined]
    return told, losses + judged, tensors(module)
