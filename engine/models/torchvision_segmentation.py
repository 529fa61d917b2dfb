"""torchvision's segmentation models: FCN, DeepLabV3 and LR-ASPP, auxiliary classifiers included.

They are built as torchvision publishes them, so that a finished model's file loads into
`torchvision.models.segmentation.NAME(num_classes=N, aux_loss=True)`; LR-ASPP takes no `aux_loss`.
"""

from torch import nn
from torchvision.models import get_model_builder, list_models, segmentation

from engine.contract.catalogue import CatalogueEntry
from engine.contract.config import BACKBONE, weights_file
from engine.contract.errors import UserError
from engine.contract.preprocessing import Preprocessing
from engine.contract.text import plain
from engine.contract.tree import ModelInfo
from engine.models.describe import LayersOnMeta, model_info
from engine.models.filling import fill
from engine.models.source import LoadedModel, Tell, Wanted
from engine.models.torchvision_weights import file_name, named, offered, state_of
from engine.models.weights import StateDict

TASK = "semantic-segmentation"
NAMES = list(list_models(module=segmentation))

_PUBLISHED_CLASSES = 21  # Pascal VOC's
_MB = 1024 * 1024  # torchvision's `_file_size` counts in these
_AUXILIARY = "aux_classifier"


def entry(name: str) -> CatalogueEntry:
    best = offered(name)[0]
    return CatalogueEntry(
        name=f"torchvision/{name}",
        parameters=best.meta["num_params"],
        image_size=best.transforms().resize_size[0],
        download_size=round(best.meta["_file_size"] * _MB),
        weights=[w.name for w in offered(name)]
        + [BACKBONE + w.name for w in offered(_backbone(name))],
        tasks=(TASK,),
        weights_file=file_name(best),
    )


def describe(wanted: Wanted) -> ModelInfo:
    name, weights = wanted.name, wanted.weights
    with LayersOnMeta():
        module = _build(name, wanted.classes or _PUBLISHED_CLASSES)
    return _info(wanted, module, _preprocessing(name, weights))


def load(wanted: Wanted, tell: Tell, structure_only: bool) -> LoadedModel:
    name, weights, classes = wanted.name, wanted.weights, wanted.classes or _PUBLISHED_CLASSES
    preprocessing = wanted.sized(_preprocessing(name, weights))
    if structure_only or weights == "none":
        module, origin = _build(name, classes), "none: random"
    else:
        state, origin = _state(name, weights, classes, tell)
        with LayersOnMeta():
            module = _build(name, classes)
        filled = fill(
            module,
            state,
            head=_head(module, weights),
            what=f"{origin} does not fit torchvision/{name}",
            own_file=weights_file(weights) is not None,
            build=lambda: _build(name, classes),
        )
        origin += filled.words
    return LoadedModel(module, _info(wanted, module, preprocessing), origin)


def _build(name: str, classes: int) -> nn.Module:
    """The network with torchvision's random weights."""
    options = {} if name.startswith("lraspp") else {"aux_loss": True}
    builder = get_model_builder(name)
    module: nn.Module = builder(weights=None, weights_backbone=None, num_classes=classes, **options)
    return module


def _info(wanted: Wanted, module: nn.Module, preprocessing: Preprocessing) -> ModelInfo:
    head = _head(module, wanted.weights)
    return model_info(f"torchvision/{wanted.name}", module, head, preprocessing)


def _head(module: nn.Module, weights: str) -> list[str]:
    """What is new: layers that give a number for each class, or behind a classifier's backbone all
    that stands on it."""
    tops = [name for name, _ in module.named_children() if name != "backbone"]
    if weights.startswith(BACKBONE):
        return tops
    if isinstance(module, segmentation.LRASPP):
        return ["classifier.low_classifier", "classifier.high_classifier"]
    return [f"{top}.{len(module.get_submodule(top)) - 1}" for top in tops]  # type: ignore[arg-type]


def _preprocessing(name: str, weights: str) -> Preprocessing:
    """As the weights were trained; of a backbone's, a file's or none as the model's default."""
    own = weights == "none" or weights.startswith(BACKBONE) or weights_file(weights) is not None
    transforms = named(name, "DEFAULT" if own else weights).transforms()
    side = transforms.resize_size[0]
    return Preprocessing(
        image_size=side,
        resize_size=side,
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        interpolation=transforms.interpolation.value,
    )


def _state(name: str, weights: str, classes: int, tell: Tell) -> tuple[StateDict, str]:
    """Tensors by this model's names, and where they came from in words."""
    if weights.startswith(BACKBONE):
        state, origin = state_of(_backbone(name), weights.removeprefix(BACKBONE), tell)
        return _as_backbone(state), f"{origin}, backbone alone"
    state, origin = state_of(name, weights, tell)
    if not any(key.startswith("backbone.") for key in state):
        raise UserError(
            f"{origin} does not fit torchvision/{name}: it has no backbone by that name; where it "
            f'is a {_backbone(name)} classifier, set model.weights to "{BACKBONE}{plain(weights)}".'
        )
    if not any(key.startswith(f"{_AUXILIARY}.") for key in state):
        fresh = _build(name, classes).state_dict()
        new = {key: tensor for key, tensor in fresh.items() if key.startswith(f"{_AUXILIARY}.")}
        if new:
            return state | new, f"{origin}, auxiliary classifier new"
    return state, origin


def _backbone(name: str) -> str:
    """The classifier that a segmentation model stands on: fcn_resnet50's is resnet50."""
    return name.partition("_")[2]


def _as_backbone(state: StateDict) -> StateDict:
    """A ResNet's or MobileNetV3's tensors as those of a backbone, their classifier left out."""
    kept = {k: t for k, t in state.items() if not k.startswith(("fc.", "classifier."))}
    return {f"backbone.{k.removeprefix('features.')}": t for k, t in kept.items()}
