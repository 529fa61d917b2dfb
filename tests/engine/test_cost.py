"""What a step costs, against arithmetic by hand, against real tensors, and as it is asked for."""

import weakref
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.inspection import AskCost
from engine.contract.plan import Assignment
from engine.contract.rules import Rule
from engine.contract.training_tables import OptimizerConfig, TrainingConfig
from engine.cost import estimate, rates
from engine.cost.blank import without_memory
from engine.cost.ledger import Amount, Watched, Work, tensors
from engine.cost.step import Step, trace
from engine.tasks.classifying import Classifying
from engine.tasks.task import Blank

SCALARS = 2 * 4
"""The loss, and what cross-entropy divides by."""


def config(batch: int, **training: object) -> Config:
    return Config(
        "image-classification",
        ModelConfig("torchvision/resnet18", "none"),
        DataConfig("none", batch_size=batch, image_size=64),
        training=TrainingConfig(**training),
    )


def blank(asked: Config, shape: tuple[int, ...], classes: int) -> Blank:
    def batch(size: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(size, *shape), torch.zeros(size, dtype=torch.int64)

    return Blank(Classifying(asked, [1] * classes), batch)


def step(module: nn.Module, asked: Config, shape: tuple[int, ...], trains: str = "") -> Step:
    mode = Watched()
    plan = {
        name: Assignment(train=name.startswith(trains)) for name, _ in module.named_parameters()
    }
    fake = without_memory(module, mode)
    return trace(fake, blank(asked, shape, classes=5), plan, asked, nullcontext(), mode)


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 5)
    )


def test_an_mlp_by_hand() -> None:
    found = step(mlp(), config(batch=4), (10,))
    parameters = 10 * 20 + 20 + 20 * 20 + 20 + 20 * 5 + 5
    assert found.trainable == parameters
    assert found.weights == found.gradients == found.optimizer == 4 * parameters
    hidden, logits, batch = 4 * 20 * 4, 4 * 5 * 4, 4 * 10 * 4 + 4 * 8
    assert found.activations == batch + 2 * hidden + 2 * logits + SCALARS
    products = 2 * 4 * (10 * 20 + 20 * 20 + 20 * 5)
    inputs_gradient = 2 * 4 * 10 * 20  # that of the data is not asked for
    assert sum(x.flops for x in found.work.values()) == 3 * products - inputs_gradient


def test_what_is_frozen_and_comes_first_keeps_nothing() -> None:
    whole, head = (step(mlp(), config(batch=4), (10,), trains) for trains in ("", "4"))
    hidden = 4 * 20 * 4
    assert whole.activations - head.activations == hidden  # the second one is the head's input
    assert head.gradients == head.optimizer == 4 * (20 * 5 + 5)
    before = sum(x.flops for work, x in head.work.items() if work.prefix)
    assert before == 2 * 4 * (10 * 20 + 20 * 20)
    assert sum(x.flops for x in head.work.values()) == before + 2 * (2 * 4 * 20 * 5)
    assert not any(x.flops for work, x in whole.work.items() if work.prefix)


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    )


def test_a_cnn_by_hand() -> None:
    found = step(cnn(), config(batch=2), (3, 8, 8))
    batch, maps = 2 * 3 * 64 * 4 + 2 * 8, 2 * 4 * 64 * 4
    statistics, pooled, logits = 2 * 4 * 4, 2 * 4 * 4, 2 * 5 * 4
    assert found.activations == batch + 2 * maps + statistics + pooled + 2 * logits + SCALARS
    buffers = 2 * 4 * 4 + 8
    assert found.weights == 4 * (4 * 3 * 9 + 2 * 4 + 4 * 5 + 5) + buffers
    assert (
        found.peak
        < found.weights + found.optimizer + found.gradients + found.activations + 2 * maps
    )


def test_adamw_keeps_twice_as_much_and_accumulation_keeps_gradients() -> None:
    asked = replace(config(batch=4, accumulate=2), optimizer=OptimizerConfig(name="adamw"))
    found = step(mlp(), asked, (10,))
    once = step(mlp(), config(batch=4), (10,))
    assert found.optimizer == 2 * found.gradients
    assert found.peak > once.peak + found.gradients


class Real(TorchDispatchMode):
    """Bytes of the storages of real tensors, at most at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._live: dict[int, tuple[int, object]] = {}

    def see(self, *seen: Tensor) -> None:
        for tensor in seen:
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in self._live:
                self._live[key] = (
                    storage.nbytes(),
                    weakref.ref(storage, lambda _, key=key: self._gone(key)),
                )
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)

    def _gone(self, key: int) -> None:
        self.now -= self._live.pop(key)[0]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.see(*tensors(out))
        return out


@pytest.mark.parametrize("trains", ["", "5"])
def test_as_much_as_real_tensors_take(trains: str) -> None:
    asked = config(batch=2)
    said = step(cnn(), asked, (3, 8, 8), trains)
    module, real = cnn(), Real()
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name.startswith(trains))
    module.train()
    if trains:
        module[:5].eval()
    kept = [torch.zeros_like(p) for p in module.parameters() if p.requires_grad]
    real.see(*module.parameters(), *module.buffers(), *kept)
    known = blank(asked, (3, 8, 8), classes=5)
    with real:
        inputs, targets = known.batch(2)
        known.objective.loss(known.objective.outputs(module, inputs), targets).backward()
    assert abs(said.peak - real.peak) <= SCALARS


def test_time_is_work_by_rates() -> None:
    work = {
        Work("convolution", backward=False, prefix=True): Amount(2, 8_000, 10),
        Work("convolution", backward=True, prefix=False): Amount(0, 8_000, 10),
        Work("elementwise", backward=True, prefix=False): Amount(0, 0, 300),
    }
    known = {"convolution": 1000.0, "backward convolution": 500.0, "elementwise": 100.0}
    assert rates.seconds(work, known) == pytest.approx(8 + 16 + 3, abs=1e-3)


def test_it_is_asked_of_a_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = dict.fromkeys(rates.samples(torch.float32), 1e9)
    monkeypatch.setattr(rates, "rates", lambda _: known)
    asked = config(batch=4, device="cpu", threads=1)
    head = estimate.cost(AskCost(id=1, config=asked, classes=7))
    assert (head.trainable, head.batch, head.length) == (512 * 7 + 7, 4, None)
    assert 0.99 < head.prefix < 1
    assert head.seconds is not None
    assert head.prefix_seconds is not None
    assert 0 < head.prefix_seconds < head.seconds
    lora = [Rule("*", train=False), Rule("layer4", lora=4)]
    for rules in ([Rule("*")], lora, []):  # adapters come and go on the same model
        plan = replace(asked, trainable=rules)
        found = estimate.cost(AskCost(id=2, config=plan, classes=7))
    assert found.peak == head.peak
    whole = replace(asked, trainable=[Rule("*")])
    again = replace(whole, training=replace(asked.training, recompute=True))
    kept, less = (estimate.cost(AskCost(id=3, config=x, classes=7)) for x in (whole, again))
    assert less.activations < 0.6 * kept.activations
    assert less.flops > kept.flops
    assert found.free is not None
