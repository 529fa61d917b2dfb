"""torchvision's models from its own registry; those for segmentation have a file of their own."""

import re
from pathlib import Path
from typing import Any

import torchvision
from torch import nn
from torchvision.models import get_model_builder, list_models
from torchvision.models.vision_transformer import interpolate_embeddings
from torchvision.ops import StochasticDepth

from engine.contract.catalogue import CatalogueEntry
from engine.contract.config import weights_file
from engine.contract.errors import UserError
from engine.contract.preprocessing import Preprocessing
from engine.contract.text import did_you_mean, plain
from engine.contract.tree import ModelInfo
from engine.models import torchvision_segmentation, torchvision_weights
from engine.models.describe import LayersOnMeta, last_layer, model_info
from engine.models.filling import fill
from engine.models.packaged import PREFIX, packaged, packaged_for
from engine.models.source import ON_PICTURES, LoadedModel, Tell, Wanted, require_task
from engine.models.torchvision_weights import file_name, named, offered, state_of
from engine.models.weights import StateDict

_PUBLISHED_CLASSES = 1000
_MB = 1024 * 1024  # torchvision's `_file_size` counts in these
_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")

# Their auxiliary classifiers would change what forward returns in training mode; with
# transform_input they take ImageNet's normalisation, as their weights' transforms give it.
_OPTIONS: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": True, "transform_input": True},
    "inception_v3": {"aux_logits": False, "init_weights": True, "transform_input": True},
}


class TorchvisionSource:
    """Weights by torchvision's names, cached where torch.hub caches them."""

    name = "torchvision"

    def catalogue(self) -> list[CatalogueEntry]:
        segmentation = map(torchvision_segmentation.entry, torchvision_segmentation.NAMES)
        return [*map(_entry, _names()), *segmentation]

    def describe(self, wanted: Wanted) -> ModelInfo:
        _check(wanted)
        if wanted.task == torchvision_segmentation.TASK:
            return torchvision_segmentation.describe(wanted)
        name = wanted.name
        preprocessing = _preprocessing(name, wanted.weights)
        with LayersOnMeta():
            module = _build(name, wanted.classes or _PUBLISHED_CLASSES, preprocessing.image_size)
        return model_info(self._full(name), module, [last_layer(module)], preprocessing)

    def load(self, wanted: Wanted, tell: Tell, structure_only: bool = False) -> LoadedModel:
        _check(wanted)
        if wanted.task == torchvision_segmentation.TASK:
            return torchvision_segmentation.load(wanted, tell, structure_only)
        name, weights, classes = wanted.name, wanted.weights, wanted.classes or _PUBLISHED_CLASSES
        preprocessing = wanted.sized(_preprocessing(name, weights))
        size = preprocessing.image_size
        if structure_only or weights == "none":
            module, origin = _build(name, classes, size), "none: random"
        else:
            state, origin = state_of(name, weights, tell)
            with LayersOnMeta():
                module = _build(name, classes, size)
            filled = fill(
                module,
                state,
                head=[last_layer(module)],
                what=f"{origin} does not fit {self._full(name)}",
                own_file=weights_file(weights) is not None,
                ignore=_AUXILIARY,
                adapt=lambda state: _fitted(name, state, size),
                build=lambda: _build(name, classes, size),
            )
            origin += filled.words
        info = model_info(self._full(name), module, [last_layer(module)], preprocessing)
        return LoadedModel(module, info, origin)

    def drop_rates(self, name: str, module: nn.Module) -> dict[str, float]:
        layers = module.named_modules()
        return {path: layer.p for path, layer in layers if isinstance(layer, StochasticDepth)}

    def cache_folder(self) -> Path:
        return torchvision_weights.cache_folder()

    def _full(self, name: str) -> str:
        return f"{self.name}/{name}"


def _names() -> list[str]:
    return list(list_models(module=torchvision.models))


def _check(wanted: Wanted) -> None:
    """Raises `UserError` on an unknown model, and on one that is for another task."""
    name, segments = wanted.name, torchvision_segmentation.NAMES
    known = segments if wanted.task == torchvision_segmentation.TASK else _names()
    if name not in [*_names(), *segments]:
        kind = "segmentation" if known is segments else "classification"
        hint = did_you_mean(name, known, count=3) or "; the catalogue lists those it has."
        raise UserError(f'model.name: torchvision has no {kind} model "{plain(name)}"{hint}')
    takes = (torchvision_segmentation.TASK,) if name in segments else ON_PICTURES
    require_task(f"torchvision/{name}", wanted.task, takes)


def _preprocessing(name: str, weights: str) -> Preprocessing:
    """As the weights were trained; for a file or none, as the model's default weights were."""
    if weights.startswith(PREFIX):
        return packaged(weights, f"torchvision/{name}").preprocessing
    own = weights == "none" or weights_file(weights) is not None
    transforms = named(name, "DEFAULT" if own else weights).transforms()
    return Preprocessing(
        image_size=transforms.crop_size[0],
        resize_size=transforms.resize_size[0],
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        interpolation=transforms.interpolation.value,
    )


def _entry(name: str) -> CatalogueEntry:
    there = offered(name)
    best = there[0]
    return CatalogueEntry(
        name=f"torchvision/{name}",
        parameters=best.meta["num_params"],
        image_size=best.transforms().crop_size[0],
        accuracy=best.meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100,
        download_size=round(best.meta["_file_size"] * _MB),
        weights=[*(w.name for w in there), *packaged_for(f"torchvision/{name}")],
        weights_file=file_name(best),
    )


def _build(name: str, classes: int, size: int) -> nn.Module:
    """The network with torchvision's random weights, for square pictures of `size` pixels."""
    options = dict(_OPTIONS.get(name, {}))
    if name.startswith("vit_"):
        patch = int(name.rpartition("_")[2])
        _require(size % patch == 0, name, size, f"multiples of its patch size, {patch}")
        options["image_size"] = size
    elif name.startswith("maxvit_"):
        _require(size % 224 == 0, name, size, "multiples of 224")
        options["input_size"] = (size, size)
    elif not name.startswith("swin_"):  # Swin pads, whatever its weights state
        smallest = offered(name)[0].meta["min_size"][0]
        _require(size >= smallest, name, size, f"{smallest} pixels or more")
    module: nn.Module = get_model_builder(name)(weights=None, num_classes=classes, **options)
    return module


def _require(fits: bool, name: str, size: int, takes: str) -> None:
    if not fits:
        raise UserError(f"data.image_size: torchvision/{name} can't take {size}; it takes {takes}.")


def _fitted(name: str, state: StateDict, size: int) -> StateDict:
    """`state` under today's names, position embeddings stretched to pictures of `size` pixels."""
    if name.startswith("densenet"):  # published before its layers were renamed
        old = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
        return {old.sub(r"\1\2.", key): tensor for key, tensor in state.items()}
    if name.startswith("vit_") and "encoder.pos_embedding" in state:
        patch = int(name.rpartition("_")[2])
        return dict(interpolate_embeddings(size, patch, state))
    return state
