"""Dropout and stochastic depth as asked for, in real networks of both libraries."""

from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from torch import nn
from torchvision.ops import StochasticDepth

from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.errors import UserError
from engine.contract.rules import Rule
from engine.contract.training_tables import RegularisationConfig
from engine.models import load
from engine.models.dropout import override
from engine.models.source import LoadedModel
from tests.engine.sessions import session, tiny_net


def loaded(name: str, **asked: object) -> LoadedModel:
    config = Config(
        task="image-classification",
        model=ModelConfig(name=name, weights="none"),
        data=DataConfig(path="unused"),
        regularisation=RegularisationConfig(**asked),  # type: ignore[arg-type]
    )
    return load(config, 7, lambda _words: None)


def depths(module: nn.Module) -> list[float]:
    return [layer.p for layer in module.modules() if isinstance(layer, StochasticDepth)]


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("torchvision/convnext_tiny", 18),
        ("torchvision/swin_t", 12),
        ("torchvision/efficientnet_b0", 16),
    ],
)
def test_torchvisions_stochastic_depth_rises_linearly(name: str, layers: int) -> None:
    rates = depths(loaded(name, drop_path=0.4).module)
    expected = [0.4 * number / (layers - 1) for number in range(layers)]
    assert rates == pytest.approx(expected)
    assert depths(loaded(name, drop_path=0.0).module) == [0.0] * layers
    assert depths(loaded(name).module) != rates


@pytest.mark.parametrize(
    ("name", "blocks", "a_block"),
    [("timm/vit_tiny_patch16_224", 12, 2), ("timm/resnet18", 8, 1), ("timm/convnext_atto", 12, 1)],
)
def test_timms_is_off_until_it_is_asked_for(name: str, blocks: int, a_block: int) -> None:
    pytest.importorskip("timm")
    assert depths(loaded(name).module) == []
    model = loaded(name, drop_path=0.3)
    expected = [0.3 * n / (blocks - 1) for n in range(1, blocks) for _ in range(a_block)]
    assert depths(model.module) == pytest.approx(expected)
    plain = loaded(name).module
    assert plain.state_dict().keys() == model.module.state_dict().keys()
    for layer in model.module.modules():
        if isinstance(layer, nn.BatchNorm2d):  # the last of a residual branch begins at 0
            nn.init.ones_(layer.weight)
    plain.load_state_dict(model.module.state_dict())
    size = 224 if "vit" in name else 64
    images = torch.rand(2, 3, size, size)
    with torch.no_grad():
        assert torch.equal(plain.eval()(images), model.module.eval()(images))
        model.module.train()
        torch.manual_seed(0)
        one, other = (model.module(images) for _ in range(2))
    assert not torch.equal(one, other)


def test_dropout_reaches_every_layer() -> None:
    for name in ("torchvision/efficientnet_b0", "torchvision/vit_b_16"):
        module = loaded(name, dropout=0.35).module
        rates = {layer.p for layer in module.modules() if isinstance(layer, nn.Dropout)}
        assert rates == {0.35}


@pytest.mark.parametrize("name", ["torchvision/densenet121", "timm/efficientnet_lite0"])
def test_dropout_that_is_no_layer_is_reached_too(name: str) -> None:
    if name.startswith("timm"):
        pytest.importorskip("timm")
    images = torch.rand(2, 3, 64, 64)

    def told_apart(module: nn.Module) -> bool:
        for layer in module.modules():
            layer.training = not isinstance(layer, nn.BatchNorm2d)
        with torch.no_grad():
            return not torch.equal(module(images), module(images))

    assert not told_apart(loaded(name).module)
    assert told_apart(loaded(name, dropout=0.5).module)


@pytest.mark.parametrize(
    ("name", "asked", "words"),
    [
        ("torchvision/resnet18", {"drop_path": 0.1}, "^regularisation.drop_path: .*convnext_tiny"),
        ("torchvision/resnet18", {"dropout": 0.1}, "^regularisation.dropout: .*no dropout layer"),
        ("timm/vgg11", {"drop_path": 0.1}, "^regularisation.drop_path: .*no stochastic depth"),
    ],
)
def test_a_model_without_is_a_sentence(name: str, asked: dict[str, float], words: str) -> None:
    if name.startswith("timm"):
        pytest.importorskip("timm")
    with pytest.raises(UserError, match=words):
        loaded(name, **asked)


def test_what_is_frozen_stays_frozen_under_both(tmp_path: Path) -> None:
    """Their modes follow the plan, as the modes of the model's own dropout do."""
    net = tiny_net()
    net.body.add_module("path", nn.Identity())
    net.pool.add_module("path", StochasticDepth(0.0, "row"))
    override(
        net, {"body.path": 0.5, "pool.path": 1.0}, RegularisationConfig(dropout=0.5, drop_path=0.6)
    )
    assert (net.body.path.p, net.pool.path.p) == pytest.approx((0.3, 0.6))
    made = session(tmp_path, module=net)
    made.set_plan([Rule("*", train=False), Rule("head")])
    assert not net.body[2].training
    assert not net.body.path.training
    assert net.pool[2].training
    assert net.pool.path.training
    images = torch.rand(4, 3, 8, 8)
    frozen = nn.Sequential(net.stem, net.body)
    assert torch.equal(frozen(images), frozen(images))
    made.set_plan([Rule("body"), Rule("head")])
    assert net.body[2].training
    assert net.body.path.training
    assert net.body[2].p == net.pool[2].p == 0.5


def test_auto_leaves_the_models_own() -> None:
    own, asked = tiny_net(), tiny_net()
    override(asked, {}, replace(RegularisationConfig(), mixup=1.0))
    assert repr(own) == repr(asked)
