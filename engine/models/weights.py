"""Weights files: read without running anything that is in them, and fitted into a module."""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.contract.errors import UserError
from engine.contract.text import plain

StateDict = dict[str, Tensor]

_WRAPPERS = ("state_dict", "model_state_dict", "model", "module")  # of other training programs
_PREFIXES = ("module.", "model.", "_orig_mod.")  # DataParallel, wrappers, torch.compile
_NAMED = 3  # tensors that an error names


def read_state(path: Path, advice: str = "") -> StateDict:
    """Tensors by name from a .safetensors file or one that `torch.save` wrote, on the CPU.

    A pickle is read with `weights_only=True`. Raises `UserError` naming the file where it is
    missing, truncated, no weights file, or holds code; `advice` ends the sentence on a broken one.
    """
    if not path.is_file():
        raise UserError(f"The weights file {plain(path)} does not exist.")
    is_safe = path.suffix.lower() == ".safetensors"
    try:
        state = _unwrap(load_file(path) if is_safe else _torch_load(path))
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


def fill(
    module: nn.Module,
    state: Mapping[str, Tensor],
    head: Sequence[str],
    what: str,
    keep_head: bool,
    ignore: tuple[str, ...] = (),
) -> bool:
    """Put `state` into `module` and make the head anew, or keep the file's where it fits.

    head: paths of the modules whose shape the number of classes decides.
    what: "FILE" and the model, the start of an error: "x.pth does not fit torchvision/resnet18".
    ignore: beginnings of names in `state` that this module is built without.
    Returns whether the head is the file's. New head layers are initialised as torch does by
    default, from its global seed. Raises `UserError` where anything beside the head is missing,
    left over or of another shape, naming the first few.
    """
    expected = module.state_dict()
    in_head = tuple(f"{path}." for path in head)
    own_head = [name for name in expected if name.startswith(in_head)]
    kept = keep_head and all(
        name in state and state[name].shape == expected[name].shape for name in own_head
    )
    given = {
        name: _own_copy(tensor)
        for name, tensor in state.items()
        if not name.startswith(ignore) and (kept or not name.startswith(in_head))
    }
    odd = [n for n in given if n in expected and given[n].shape != expected[n].shape]
    if odd:
        named = (f"{n} is {_shape(given[n])}, not {_shape(expected[n])}" for n in odd[:_NAMED])
        tensors = _counted(len(odd), "tensor")
        raise UserError(f"{what}: it has {tensors} of another shape ({_list(named)}).")
    missing, left_over = _assign(module, given)
    missing = [n for n in missing if kept or not n.startswith(in_head)]
    if missing or left_over:
        raise UserError(f"{what}: {_differences(missing, left_over)}.")
    if not kept:
        new_head(module, head)
    return kept


def new_head(module: nn.Module, head: Sequence[str]) -> None:
    """Initialise the head's layers as torch does by default, from its global seed.

    Families have their own ideas, made for training from scratch: timm's EfficientNets draw a head
    of few classes so wide that fine-tuning starts at a loss of 5 and never recovers.
    """
    for path in head:
        for layer in module.get_submodule(path).modules():
            if hasattr(layer, "reset_parameters"):
                if any(p.is_meta for p in layer.parameters(recurse=False)):
                    layer.to_empty(device="cpu", recurse=False)
                layer.reset_parameters()  # type: ignore[operator]


def _torch_load(path: Path) -> Any:
    try:
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
    """The state dict in what a file holds: out of its wrapper, common prefixes stripped."""
    if not isinstance(content, Mapping):
        return {}
    for key in _WRAPPERS:
        if isinstance(content.get(key), Mapping):
            return _unwrap(content[key])
    state = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
    while prefix := next((p for p in _PREFIXES if _all_start_with(p, state)), ""):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _all_start_with(prefix: str, state: StateDict) -> bool:
    return bool(state) and all(name.startswith(prefix) for name in state)


def _assign(module: nn.Module, state: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Make the tensors of `state` the module's own; names that are missing, and left over."""
    versioned = OrderedDict(state)
    # Only the root's version is claimed (MNASNet insists on one): modules below then translate
    # the names of older files, as torchvision's MLP and BatchNorm do where no version is given.
    versioned._metadata = {"": {"version": module._version}}  # type: ignore[attr-defined]
    result = module.load_state_dict(versioned, strict=False, assign=True)
    return result.missing_keys, result.unexpected_keys


def _own_copy(tensor: Tensor) -> Tensor:
    """Memory of our own: a safetensors file stays mapped, and changes if the file does."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to(dtype, copy=True, memory_format=torch.contiguous_format)


def _differences(missing: Sequence[str], left_over: Sequence[str]) -> str:
    parts = []
    for names, saying in ((missing, "missing"), (left_over, "that it does not know")):
        if names:
            parts.append(f"{_counted(len(names), 'tensor')} {saying} ({_list(names[:_NAMED])})")
    return " and ".join(parts)


def _list(names: Iterable[str]) -> str:
    return ", ".join(plain(name, 80) for name in names)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a scalar"
