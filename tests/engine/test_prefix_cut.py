"""Where the frozen beginning of a model ends, and what the rest makes of it: bit for bit."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models as zoo

from engine import device, freeze
from engine.contract.training_tables import TrainingConfig
from engine.data.batch import Inputs
from engine.prefix.cut import Cut, Sizes, Unfit
from engine.prefix.find import find
from tests.engine.sessions import tiny_net

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = device.choose(TrainingConfig(device="cpu"))


def train_only(module: nn.Module, *beginnings: str) -> nn.Module:
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name.startswith(beginnings))
    freeze.set_modes(module)
    return module


def smaller(inputs: Inputs) -> Inputs:
    if isinstance(inputs, Tensor):
        return inputs[-2:]
    return {name: x[-2:, :-3] for name, x in inputs.items()}


def logits(module: nn.Module, inputs: Inputs) -> Any:
    return (
        module(inputs) if isinstance(inputs, Tensor) else module(**inputs, use_cache=False).logits
    )


def cut_of(module: nn.Module, inputs: Inputs) -> Cut:
    return find(module, lambda x: logits(module, x), [inputs, smaller(inputs)], CPU)


def images(side: int = 32, count: int = 4) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def texts() -> dict[str, Tensor]:
    ids = torch.randint(1, 90, (4, 10), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[-2:, -3:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def swin() -> nn.Module:
    return zoo.SwinTransformer([4, 4], 16, [1, 1], [2, 2], [4, 4], num_classes=3)


def vit() -> nn.Module:
    return zoo.VisionTransformer(32, 16, 2, 2, 32, 64, num_classes=3)


def bert() -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(
        BertConfig(
            vocab_size=90,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
        )
    )


def gpt2(dropout: float = 0.0) -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    off = dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), dropout)
    ids = {"bos_token_id": 0, "eos_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(vocab_size=90, n_layer=2, n_embd=16, n_head=2, **off, **ids))


class Skipping(nn.Module):
    """The end sees the input, an early layer and a late one."""

    def __init__(self) -> None:
        super().__init__()
        self.early, self.late = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.end = nn.Conv2d(11, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        early = self.act(self.early(x))
        late = self.act(self.late(early))
        out: Tensor = self.act(self.end(torch.cat([x, early, late], 1))).mean((2, 3))
        return out


@pytest.mark.parametrize(
    ("build", "inputs", "trains", "where", "kept"),
    [
        (zoo.resnet18, images, ["fc"], "before fc", [(512,)]),
        (zoo.resnet18, images, ["layer4", "fc"], "after layer3", [(256, 2, 2)]),
        (vit, images, ["heads"], "before heads.head", [(32,)]),
        (
            vit,
            images,
            ["heads", "encoder.layers.encoder_layer_1"],
            "after encoder.layers.encoder_layer_0",
            [(5, 32)],
        ),
        (swin, images, ["head"], "after flatten", [(32,)]),
        (swin, images, ["features.3", "head"], "after features.2", [(4, 4, 32)]),
        (bert, texts, ["classifier"], "after bert", [(16,)]),
        (
            bert,
            texts,
            ["bert.encoder.layer.1", "bert.pooler", "classifier"],
            "after bert.encoder.layer.0",
            [(None, 16)],
        ),
        (gpt2, texts, ["transformer.h.1"], "after transformer.h.0", [(None, 16)]),
        (
            Skipping,
            images,
            ["end"],
            "after act",
            [(3, 32, 32), (4, 32, 32), (4, 32, 32)],
        ),
    ],
)
def test_where_the_frozen_beginning_ends(
    build: Callable[[], nn.Module],
    inputs: Callable[[], Inputs],
    trains: list[str],
    where: str,
    kept: list[tuple[int | None, ...]],
) -> None:
    module = train_only(build(), *trains)
    cut = cut_of(module, inputs())
    assert cut.words == where
    assert [row.stored for row in cut.points.values()] == kept
    assert cut.share > 0.05
    assert not any(x.requires_grad for x in cut.fixed)


def test_the_rest_comes_to_the_same_for_other_batches_and_gradients() -> None:
    module = train_only(zoo.resnet18(num_classes=3), "layer4", "fc")
    cut = cut_of(module, images())
    others = images(count=7).flip(0)
    rows = cut.record(module, others)
    statistics = {name: x.clone() for name, x in module.named_buffers()}
    whole = module(others)
    wanted = torch.autograd.grad(whole.sum(), list(module.layer4.parameters()))
    for name, x in module.named_buffers():
        x.copy_(statistics[name])
    played = cut.play(module, rows)
    got = torch.autograd.grad(played.sum(), list(module.layer4.parameters()))
    assert torch.equal(whole, played)
    assert all(map(torch.equal, wanted, got))


def test_texts_of_any_length() -> None:
    module = train_only(bert(), "bert.encoder.layer.1", "bert.pooler", "classifier").eval()
    cut = cut_of(module, texts())
    for length in (3, 7, 12):
        some = {name: x.repeat(1, 2)[:, :length] for name, x in texts().items()}
        run = lambda x: logits(module, x)  # noqa: E731
        assert torch.equal(run(some), cut.play(run, {**some, **cut.record(run, some)}))


def test_looking_for_it_leaves_everything_as_it_was() -> None:
    module = train_only(tiny_net(), "body.1", "head")
    before = {name: x.clone() for name, x in module.state_dict().items()}
    generator = torch.get_rng_state()
    assert cut_of(module, images(8)).words == "after body.0"
    assert all(torch.equal(before[name], x) for name, x in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert not any("forward" in vars(child) for child in module.modules())


class Dropping(nn.Module):
    """Draws at random without a module for it, in front of its frozen layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(self.first(x), 0.5, self.training)
        out: Tensor = self.head(self.second(x).mean((2, 3)))
        return out


def test_nothing_random_is_remembered() -> None:
    module = train_only(Dropping(), "head")
    assert cut_of(module, images(8)).words == "after first"
    assert cut_of(module.eval(), images(8)).words == "before head"
    assert cut_of(train_only(tiny_net(), "head"), images(8)).words == "after pool.1"
    with pytest.raises(Unfit, match=r"only 0\.0% of a forward pass lies before transformer\.drop"):
        cut_of(train_only(gpt2(dropout=0.1), "transformer.h.1"), texts())


def test_norms_that_keep_statistics_are_not_frozen() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), nn.Flatten())
    module.append(nn.Linear(4 * 36, 3))
    train_only(module, "3")
    module[1].train()
    assert cut_of(module, images(8)).words == "after 0"


class Mixed(nn.Module):
    """What a frozen layer sees depends on the head's weights, past autograd."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.head = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        out: Tensor = self.second(self.head(x).detach()) + self.head(x)
        return out


def test_nothing_after_what_trains_is_remembered() -> None:
    cut = cut_of(train_only(Mixed(), "head"), torch.randn(3, 4))
    assert {path for path, _ in cut.answers} == {"first"}


@pytest.mark.parametrize("trains", [[""], ["stem"], ["stem.0"]])
def test_nothing_is_frozen_before_what_trains(trains: list[str]) -> None:
    with pytest.raises(Unfit, match="nothing is frozen"):
        cut_of(train_only(tiny_net(), *trains), images(8))


class Branching(nn.Module):
    """Looks at the frozen values themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        sign = 1 if float(x.detach().sum()) > -1e9 else -1
        out: Tensor = self.head(self.second(x) * sign)
        return out


def test_a_model_that_looks_at_what_is_not_remembered() -> None:
    module = train_only(Branching(), "head")
    cut = cut_of(module, torch.randn(4, 4))
    assert cut.words == "before head", "behind `second`, the branch would see NaN"
    x = torch.randn(5, 4)
    assert torch.equal(module(x), cut.play(module, cut.record(module, x)))


def test_sizes() -> None:
    assert Sizes.of(images(8)) == (4, 0)
    assert Sizes.of(texts()) == (4, 10)
