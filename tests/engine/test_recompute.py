"""What is computed once more in the backward pass gives the same gradients, and counts once."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from engine.contract import consistency
from engine.contract import events as e
from engine.contract.errors import UserError
from engine.contract.preprocessing import Preprocessing
from engine.contract.rules import Rule
from engine.contract.training_tables import TrainingConfig
from engine.models.describe import model_info
from engine.recompute import blocks, recomputed
from tests.engine.sessions import config, of, run, same, session, tensors
from tests.engine.test_prefix import even

pytestmark = pytest.mark.usefixtures("one_thread")


def resnet() -> nn.Module:
    """BatchNorm, in blocks that train; one of them is frozen, in eval mode."""
    net = torchvision.models.resnet18(num_classes=3).train()
    net.layer2[0].requires_grad_(False).eval()
    return net


def vit() -> nn.Module:
    return torchvision.models.VisionTransformer(16, 8, 2, 2, 8, 16, dropout=0.3, num_classes=3)


def timm_vit() -> nn.Module:
    size = {"img_size": 16, "patch_size": 8, "embed_dim": 8, "depth": 2, "num_heads": 2}
    made: nn.Module = timm.create_model(
        "vit_tiny_patch16_224", num_classes=3, drop_path_rate=0.5, **size
    )
    return made


class Bert(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
        about = BertConfig(**sizes, intermediate_size=16, vocab_size=50, num_labels=3)
        self.bert: Any = BertForSequenceClassification(about)

    def forward(self, pictures: Tensor) -> Tensor:
        ids = (pictures[:, 0, 0].abs() * 50).long() % 50
        logits: Tensor = self.bert(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        return logits


@pytest.mark.parametrize("make", [resnet, vit, timm_vit, Bert])
def test_loss_gradients_and_statistics_bit_for_bit(make: Any) -> None:
    torch.manual_seed(0)
    module = make()
    info = model_info("x", module, [list(dict(module.named_modules()))[-1]], Preprocessing())
    found = blocks(info, module)
    assert len(found) >= 2
    started = {name: x.clone() for name, x in module.state_dict().items()}
    counted: list[int] = []
    last = list(found.values())[-1]
    inner = [x for x in last.modules() if isinstance(x, nn.Linear | nn.Conv2d)][-2]
    inner.register_forward_hook(lambda *_: counted.append(1))
    came_to = []
    for some in ({}, found):
        module.load_state_dict(started)
        module.zero_grad()
        torch.manual_seed(1)
        passes = []
        for _ in range(2):
            with recomputed(some):
                loss = module(torch.randn(4, 3, 16, 16)).square().mean()
            loss.backward()
            passes.append(loss.detach().clone())
        gradients = {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}
        ends = {**gradients, **{f"{n}!": x for n, x in tensors(module).items()}}
        came_to.append({**ends, "loss": torch.stack(passes), "next draw": torch.rand(3)})
    assert len(counted) == 2 + 4
    one, other = came_to
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_a_model_without_blocks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training\.recompute: .* has no blocks that repeat"):
        session(tmp_path, config(training=TrainingConfig(recompute=True)))


def test_not_with_what_compiles() -> None:
    with pytest.raises(UserError, match="decides by itself"):
        consistency.check(config(training=TrainingConfig(recompute=True, compile=True)))


WITHIN = [Rule("*", train=False), Rule("blocks.1.two"), Rule("head")]
"""What is remembered ends within a block."""


@pytest.mark.parametrize(
    ("rules", "shortcut"), [([Rule("*")], True), (WITHIN, True), (WITHIN, False)]
)
def test_a_run_is_the_same_with_and_without(
    tmp_path: Path, rules: list[Rule], shortcut: bool
) -> None:
    ends = []
    for recompute in (False, True):
        (folder := tmp_path / str(recompute)).mkdir()
        torch.manual_seed(0)
        net = nn.Sequential()
        blocks = nn.Sequential(*(Block(shortcut) for _ in range(2)))
        net.add_module("stem", nn.Conv2d(3, 4, 3))
        net.add_module("blocks", blocks)
        net.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
        net.add_module("head", nn.Linear(4, 3))
        training = TrainingConfig(epochs=3, threads=1, recompute=recompute)
        made = session(folder, config(trainable=rules, training=training), net, data=even())
        assert bool(made.blocks) == recompute
        told = [x for x in of(e.PrefixCached, run(made)) if x.data == "training"]  # type: ignore[attr-defined]
        assert [x.cut for x in told] == (["after blocks.1.norm"] if rules == WITHIN else [])  # type: ignore[attr-defined]
        ends.append(tensors(net))
    assert all(x.isfinite().all() for x in ends[1].values())
    assert same(*ends)


class Block(nn.Module):
    def __init__(self, shortcut: bool) -> None:
        super().__init__()
        self.one, self.norm, self.drop = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5)
        self.two, self.shortcut = nn.Conv2d(4, 4, 1), shortcut

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.two(self.drop(self.norm(self.one(x))))
        return x + made if self.shortcut else made
