"""Whose a checkpoint may be that fits another model."""

import warnings
from collections.abc import Mapping

from torch import Tensor
from torchvision import models

from engine.models.describe import LayersOnMeta
from engine.models.keys import fitted

_ENOUGH = 0.8  # of a model's tensors
_FEWEST = 10  # tensors of any of them
_LARGEST_HEAD = 4_200_000  # parameters, of VGG's as published; for few classes it has next to none


def most_like(state: Mapping[str, Tensor]) -> str:
    """The tail of a sentence: which of torchvision's models has the most of these names and shapes;
    empty where none has nearly all. Takes seconds: each is built, without memory."""
    if len(state) < _FEWEST:
        return ""
    room = sum(tensor.numel() for tensor in state.values()) + _LARGEST_HEAD
    names = [x for x in models.list_models(module=models) if _parameters(x) <= room]
    with warnings.catch_warnings(action="ignore"):  # GoogLeNet's on how it is initialised
        shares = {name: _share(name, state) for name in names}
    best = max(shares, key=lambda name: shares[name])
    return f"; it looks like torchvision/{best}" if shares[best] >= _ENOUGH else ""


def _parameters(name: str) -> int:
    """As published."""
    count: int = models.get_model_weights(name).DEFAULT.meta["num_params"]
    return count


def _share(name: str, state: Mapping[str, Tensor]) -> float:
    """Of a model's tensors, those that are in `state`."""
    with LayersOnMeta():
        expected = models.get_model_builder(name)().state_dict()
    if not 0.5 < len(state) / len(expected) < 2:
        return 0.0
    found, _ = fitted(state, expected)
    fits = [n for n, t in found.items() if n in expected and expected[n].shape == t.shape]
    return len(fits) / max(len(expected), len(found))
