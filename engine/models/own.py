"""The user's own network: `path/to/file.py:factory`, whose code is run to make it."""

import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from engine.contract.catalogue import CatalogueEntry
from engine.contract.config import own_module, weights_file
from engine.contract.errors import UserError
from engine.contract.preprocessing import Preprocessing
from engine.contract.text import did_you_mean, plain
from engine.contract.tree import ModelInfo
from engine.models.describe import LayersOnMeta, model_info
from engine.models.filling import fill
from engine.models.source import ON_PICTURES, LoadedModel, Tell, Wanted, require_task, stand_in
from engine.models.weights import read_state

_CLASSES = ("classes", "num_classes")  # arguments of a factory that we give
_MODULE = "ftui_own_module"


class OwnSource:
    """A function or class in a Python file that returns an `nn.Module`; it may take `classes` or
    `num_classes`, and import what lies beside it. Its weights are those that it gives."""

    name = "own"

    def catalogue(self) -> list[CatalogueEntry]:
        return []

    def describe(self, wanted: Wanted) -> ModelInfo:
        require_task(wanted.name, wanted.task, [*_GIVES])
        factory = _factory(wanted.name)
        classes = wanted.classes
        if classes is None and _must_be_told(factory):
            classes = stand_in(wanted.task)
        try:
            with LayersOnMeta():
                module = _made(wanted.name, factory, classes)
        except UserError:  # it computes with its weights; as real ones it may
            module = _made(wanted.name, factory, classes)
        head, _ = _with_head(wanted.name, module, classes)
        return model_info(wanted.name, module, [head], _preprocessing(wanted.name, module))

    def load(self, wanted: Wanted, tell: Tell, structure_only: bool = False) -> LoadedModel:
        name, weights = wanted.name, wanted.weights
        require_task(name, wanted.task, [*_GIVES])
        file = weights_file(weights)
        if file is None and weights not in ("DEFAULT", "none"):
            raise UserError(
                'model.weights: a module of your own takes "DEFAULT" or "none", which leave it as '
                f'it was made, or a file, not "{plain(weights)}".'
            )
        tell(f"running {plain(name)}, your own code")
        module = _made(name, _factory(name), wanted.classes)
        head, origin = _with_head(name, module, wanted.classes)
        origin = f"as {plain(name.rpartition('/')[2])} gives them{origin}"
        if file and not structure_only:
            what = f"{plain(file)} does not fit {plain(name)}"
            filled = fill(module, read_state(file), [head], what, own_file=True)
            origin = plain(file) + filled.words
        preprocessing = wanted.sized(_preprocessing(name, module))
        module.register_forward_hook(_GIVES[wanted.task])
        if wanted.task in ON_PICTURES:
            _try(name, module, wanted.classes, preprocessing.image_size)
        info = model_info(name, module, [head], preprocessing)
        return LoadedModel(module, info, origin, getattr(module, "tokenizer", None), _digest(name))

    def drop_rates(self, name: str, module: nn.Module) -> dict[str, float]:
        return {}

    def cache_folder(self) -> Path:
        return Path()


def _factory(name: str) -> Callable[..., Any]:
    """What a file calls `factory`, the file run anew. Raises `UserError`."""
    path, factory = own_module(name) or (Path(name), "")
    if not path.is_file():
        raise UserError(f"model.name: there is no file {plain(path)}.")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # for what it imports; last, so as to hide nothing
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    assert spec is not None
    assert spec.loader is not None
    code = sys.modules[_MODULE] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(code)
    except (Exception, SystemExit) as error:
        raise UserError(f"model.name: {plain(path)} can't be run: {_words(error)}.") from error
    if not hasattr(code, factory):
        there = [n for n, value in vars(code).items() if callable(value)]
        hint = did_you_mean(factory, there) or f"; it has {plain(', '.join(there)) or 'none'}."
        raise UserError(f'model.name: {plain(path)} has no function "{plain(factory)}"{hint}')
    found = getattr(code, factory)
    if isinstance(found, nn.Module) or not callable(found):
        raise UserError(
            f"model.name: {plain(factory)} in {plain(path)} is no function or class that makes a "
            "module."
        )
    made: Callable[..., Any] = found
    return made


def _made(name: str, factory: Callable[..., Any], classes: int | None) -> nn.Module:
    """What the factory returns. Raises `UserError` where that is no module, or it raises."""
    given = {key: classes for key in _CLASSES if classes and key in _arguments(factory)}
    try:
        module = factory(**given)
    except (Exception, SystemExit) as error:
        raise UserError(f"model.name: {plain(name)} raised {_words(error)}.") from error
    if not isinstance(module, nn.Module):
        raise UserError(
            f"model.name: {plain(name)} returned {plain(type(module).__name__)}, not an nn.Module."
        )
    return module


def _must_be_told(factory: Callable[..., Any]) -> bool:
    """Whether it can't be called without the number of classes."""
    takes = _arguments(factory)
    return any(key in takes and takes[key].default is inspect.Parameter.empty for key in _CLASSES)


def _arguments(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(factory).parameters
    except (TypeError, ValueError):  # of something built in
        return {}


def _with_head(name: str, module: nn.Module, classes: int | None) -> tuple[str, str]:
    """Path of the last layer that gives an output a class, and what was done for it, in words.

    Where there is none, the last layer of all is replaced. Raises `UserError` without any.
    """
    layers = {p: m for p, m in module.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    if not layers or "" in layers:
        raise UserError(f"model.name: {plain(name)} has no Linear or Conv2d layer for a head.")
    fitting = [path for path, layer in layers.items() if _outputs(layer) == classes]
    last = list(layers)[-1]
    if classes is None or fitting:
        return (fitting or [last])[-1], ""
    old = layers[last]
    parent, _, own_name = last.rpartition(".")
    setattr(module.get_submodule(parent), own_name, _like(old, classes))
    return last, f", {last} new for {classes} classes (it had {_outputs(old)})"


def _outputs(layer: nn.Linear | nn.Conv2d) -> int:
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def _like(old: nn.Linear | nn.Conv2d, outputs: int) -> nn.Module:
    bias = old.bias is not None
    with torch.device(old.weight.device):
        if isinstance(old, nn.Linear):
            return nn.Linear(old.in_features, outputs, bias)
        size: Any = {key: getattr(old, key) for key in ("kernel_size", "stride", "padding")}
        return nn.Conv2d(old.in_channels, outputs, bias=bias, **size)


def _preprocessing(name: str, module: nn.Module) -> Preprocessing:
    """The module's `preprocessing`, a dict with the keys of `Preprocessing`, or its `default_cfg`
    as timm's; what they don't say is as for ImageNet."""
    said = getattr(module, "preprocessing", None)
    if not isinstance(said, Mapping):
        theirs = getattr(module, "default_cfg", None)
        theirs = theirs if isinstance(theirs, Mapping) else {}
        said = {key: theirs[key] for key in ("mean", "std") if key in theirs}
        if "input_size" in theirs:
            said["image_size"] = theirs["input_size"][-1]
    side = said.get("image_size", 224)
    try:
        return msgspec.convert({"resize_size": round(side * 256 / 224), **said}, Preprocessing)
    except (msgspec.ValidationError, TypeError) as error:
        raise UserError(
            f"model.name: the preprocessing of {plain(name)} is none ({plain(error)})."
        ) from None


def _logits(module: nn.Module, inputs: Any, outputs: Any) -> Any:
    """A forward hook: the logits in whatever the module gives."""
    if isinstance(outputs, Mapping):
        outputs = outputs.get("logits", outputs.get("out", outputs))
    if isinstance(outputs, tuple | list) and outputs:
        return outputs[0]
    return getattr(outputs, "logits", outputs)


def _of_texts(module: nn.Module, inputs: Any, outputs: Any) -> Any:
    """A forward hook: an object with `logits`, as Transformers has it."""
    return SimpleNamespace(logits=_logits(module, inputs, outputs))


def _of_pixels(module: nn.Module, inputs: Any, outputs: Any) -> Any:
    """A forward hook: a dict with `out`, and `aux` where there is one, as torchvision has it."""
    found = {"out": _logits(module, inputs, outputs)}
    aux = outputs.get("aux") if isinstance(outputs, Mapping) else None
    return found if aux is None else found | {"aux": aux}


_GIVES: dict[str, Callable[[nn.Module, Any, Any], Any]] = {
    **dict.fromkeys(ON_PICTURES, _logits),
    "text-classification": _of_texts,
    "semantic-segmentation": _of_pixels,
}
"""Task to a hook that gives what its objective takes."""


def _try(name: str, module: nn.Module, classes: int | None, size: int) -> None:
    """One black picture, in eval mode. Raises `UserError` where no logits come of it."""
    modes = {child: child.training for child in module.modules()}
    module.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            logits = module(torch.zeros(1, 3, size, size))
    except Exception as error:
        raise UserError(
            f"model.name: {plain(name)} can't take a picture of {size} pixels: {_words(error)}."
        ) from error
    finally:
        for child, training in modes.items():
            child.training = training
    if not isinstance(logits, Tensor) or logits.shape != (1, classes or logits.shape[-1]):
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise UserError(
            f"model.name: {plain(name)} gives {plain(shape)} for one picture, not a logit a class, "
            f"{(1, classes)}."
        )


def _words(error: BaseException) -> str:
    """An exception's kind, its words, and the line that it comes from."""
    kind, said = type(error).__name__, plain(error, 200)
    if isinstance(error, SyntaxError):
        return f"{kind}: {plain(error.msg)} (line {error.lineno})"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    where = (
        f" ({plain(Path(frames[-1].filename).name)}, line {frames[-1].lineno})" if frames else ""
    )
    return f"{kind}: {said}{where}" if said else kind + where


def _digest(name: str) -> str:
    """Of the file's bytes."""
    path, _ = own_module(name) or (Path(name), "")
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
