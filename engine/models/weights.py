"""Weights files, read without running anything that is in them."""

import argparse
import json
import pathlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from engine.contract.errors import UserError
from engine.contract.text import plain

StateDict = dict[str, Tensor]

INDEX = ".safetensors.index.json"
"""How the name of the file ends that says in which files the parts of a model are."""

# What other training programs put weights under: timm and its moving average, which timm itself
# prefers; Lightning; scripts by hand; torchvision's references.
_WRAPPERS = ("state_dict_ema", "state_dict", "model_state_dict", "model_ema", "model", "module")
# Those of timm and Lightning also hold arguments and paths, which run no code as they are read.
_HARMLESS: list[Any] = [argparse.Namespace, pathlib.PosixPath, pathlib.PurePosixPath]


def read_state(path: Path, advice: str = "; fetch or copy it again") -> StateDict:
    """Tensors by name from a .safetensors file, the index of several, or one that `torch.save`
    wrote, on the CPU; out of the checkpoint of a training program, its moving average first.

    A pickle is read with `weights_only=True`. Raises `UserError` naming the file where it is
    missing, truncated, no weights file, or holds code; `advice` ends the sentence on a broken one.
    """
    if not path.is_file():
        raise UserError(f"The weights file {plain(path)} does not exist.")
    try:
        state = _unwrap(_content(path))
    except OSError as error:
        raise UserError(
            f"The weights file {plain(path)} can't be read ({error.strerror})."
        ) from None
    except _CodeInsideError as code:
        raise UserError(
            f"The weights file {plain(path)} holds more than weights ({plain(code)}) and was not "
            "opened, since such a file can run code; save the model's state_dict() alone."
        ) from None
    except (SafetensorError, _BrokenError) as error:
        reason = plain(error, 120)
        raise UserError(f"The weights file {plain(path)} is broken ({reason}){advice}.") from None
    if not state:
        raise UserError(
            f"The weights file {plain(path)} holds no tensors by name; save the model's "
            "state_dict() with torch.save, or as safetensors."
        )
    return state


def _content(path: Path) -> Any:
    if path.name.endswith(INDEX):
        return _sharded(path)
    return load_file(path) if path.suffix.lower() == ".safetensors" else _torch_load(path)


def _sharded(index: Path) -> StateDict:
    """The tensors of all the files that an index names, which lie beside it."""
    try:
        names = set(json.loads(index.read_bytes())["weight_map"].values())
        files = [index.parent / Path(name).name for name in sorted(names)]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _BrokenError("no index of safetensors files") from None
    for file in files:
        if not file.is_file():
            raise _BrokenError(f"it names {file.name}, which is not beside it")
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def _torch_load(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # bytes from outside fail in any manner
        if code := re.search(r"\bGLOBAL ([\w.]+)", str(error)):
            raise _CodeInsideError(code[1]) from None
        raise _BrokenError("truncated, or not a file that torch saved") from None


class _BrokenError(Exception):
    """The bytes are not those of a weights file."""


class _CodeInsideError(Exception):
    """The file asks for a class or function by name."""


def _unwrap(content: Any) -> StateDict:
    """The state dict in what a file holds: out of its wrapper."""
    if not isinstance(content, Mapping):
        return {}
    for key in _WRAPPERS:
        if isinstance(content.get(key), Mapping) and (inner := _unwrap(content[key])):
            return inner
    return {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
