"""Three small networks on pictures of 8 x 8: what freezing meets in a CNN, in a ViT, in a ResNet.

Activations are smooth and no bias stands before a BatchNorm, so that all that trains has a gradient
in every step.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn

CLASSES = 3
_SIDE = 8
_WIDTH = 4


@dataclass(frozen=True)
class Network:
    """A network, and what the patterns of rules mean in it, by hand."""

    build: Callable[[], nn.Module]
    patterns: list[str]
    last: dict[str, list[str]]
    """What stands for `last:1` and so on: the beginnings of names."""


class Residual(nn.Module):
    """Two convolutions with their norms beside a shortcut, which is a convolution where it must."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = _conv(channels, stride), nn.BatchNorm2d(_WIDTH)
        self.conv2, self.norm2 = _conv(_WIDTH, 1), nn.BatchNorm2d(_WIDTH)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut = nn.Sequential(_conv(channels, stride), nn.BatchNorm2d(_WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        inner = nn.functional.silu(self.norm1(self.conv1(x)))
        out: Tensor = nn.functional.silu(self.norm2(self.conv2(inner)) + self.shortcut(x))
        return out


class Attention(nn.Module):
    """A transformer's layer, norms first: attention, then a perceptron, both with Dropout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, dropout=0.1, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Dropout(0.1))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        x = x + self.attention(normed, normed, normed, need_weights=False)[0]
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Transformer(nn.Module):
    """Patches of 4 x 4, a class token, positions, two layers; parameters of the model's own."""

    def __init__(self, width: int = 2 * _WIDTH) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, (_SIDE // 4) ** 2 + 1, width))
        self.blocks = nn.Sequential(Attention(width), Attention(width))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.positions
        logits: Tensor = self.head(self.norm(self.blocks(x))[:, 0])
        return logits


def _conv(channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, _WIDTH, 3, stride, 1, bias=False)


def _named(**parts: nn.Module) -> nn.Module:
    return nn.Sequential(OrderedDict(parts))


def _pool(*more: nn.Module) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), *more)


def _cnn() -> nn.Module:
    return _named(
        stem=nn.Sequential(_conv(3, 2), nn.BatchNorm2d(_WIDTH), nn.SiLU()),
        body=nn.Sequential(_conv(_WIDTH, 1), nn.BatchNorm2d(_WIDTH), nn.Dropout(0.1), nn.SiLU()),
        pool=_pool(),
        head=nn.Linear(_WIDTH, CLASSES),
    )


def _resnet() -> nn.Module:
    """Before its head stands a norm that has statistics and no weights."""
    return _named(
        stem=nn.Sequential(_conv(3, 2), nn.BatchNorm2d(_WIDTH), nn.SiLU()),
        blocks=nn.Sequential(Residual(_WIDTH, 1), Residual(_WIDTH, 2)),
        pool=_pool(nn.BatchNorm1d(_WIDTH, affine=False)),
        head=nn.Linear(_WIDTH, CLASSES),
    )


_ANYWHERE = ["*", "head", "*.bias", "last:1", "re:.*norm.*|.*1"]

NETWORKS = {
    "cnn": Network(
        _cnn,
        [*_ANYWHERE, "stem", "body", "body.1", "type:BatchNorm2d", "*.0"],
        {"last:1": ["body.0.", "body.1.", "head."]},  # nothing repeats: each layer is a block
    ),
    "vit": Network(
        Transformer,
        [*_ANYWHERE, "patches", "token", "blocks", "blocks.?.attention", "type:LayerNorm"],
        {"last:1": ["blocks.1.", "norm.", "head."]},
    ),
    "resnet": Network(
        _resnet,
        [*_ANYWHERE, "stem", "blocks.1", "blocks.*.norm2", "type:BatchNorm2d", "type:Residual"],
        {"last:1": ["blocks.1.", "head."]},
    ),
}


def above(name: str) -> list[str]:
    """The paths of all modules that a parameter lies in, and its own name last."""
    return list(accumulate(name.split("."), "{}.{}".format))
