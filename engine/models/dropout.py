"""Dropout and stochastic depth of a model that is built already."""

from collections.abc import Mapping

from torch import nn
from torchvision.ops import StochasticDepth

from engine.contract.errors import UserError
from engine.contract.training_tables import RegularisationConfig

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_FOR_FUNCTIONAL = ("drop_rate", "attention_dropout")
"""Where a module keeps the rate of its functional.dropout: timm's, Transformers' Llama."""


def override(module: nn.Module, own: Mapping[str, float], asked: RegularisationConfig) -> None:
    """Give `module` the dropout and the stochastic depth of a config; "auto" leaves its own.

    `own` are its rates of stochastic depth, as `ModelSource.drop_rates` has them. Raises
    `UserError` where the model lacks what is asked for.
    """
    if asked.dropout != "auto" and not _set_dropout(module, asked.dropout):
        raise UserError(
            'regularisation.dropout: the model has no dropout layer; leave it at "auto".'
        )
    if asked.drop_path != "auto":
        if not own:
            raise UserError(
                "regularisation.drop_path: the model has no stochastic depth; leave it at "
                '"auto", or take a model that has, such as torchvision/convnext_tiny.'
            )
        _set_drop_path(module, own, asked.drop_path)


def _set_dropout(module: nn.Module, rate: float) -> bool:
    """Every dropout of `module`; false where there is none."""
    found = False
    for child in module.modules():
        if isinstance(child, _DROPOUTS):
            child.p, found = rate, True
        for name in _FOR_FUNCTIONAL:
            if isinstance(getattr(child, name, None), float | int):
                setattr(child, name, rate)
                found = True
    return found


def _set_drop_path(module: nn.Module, own: Mapping[str, float], last: float) -> None:
    """Rates in the proportion of `own`, the greatest of them `last`.

    The libraries let them rise linearly, from 0 at the first block to the greatest at the last
    (Huang et al. 2016, arXiv:1603.09382, section 3). A layer takes the place of whatever timm
    leaves where the rate is 0.
    """
    greatest = max(own.values())
    for path, rate in own.items():
        parent, _, name = path.rpartition(".")
        layer = StochasticDepth(last * rate / greatest, mode="row")
        setattr(module.get_submodule(parent), name, layer)
