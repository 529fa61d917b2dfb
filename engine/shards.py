"""The weights of a checkpoint in two files, so that what is frozen need not be written each time.

The files and their index are those of Transformers' sharded checkpoints, which whoever reads
safetensors knows.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.checkpoint import FROZEN, INDEX, TRAINED

Stamp = list[tuple[str, int, int]]
"""Of tensors: names, where they lie, and how often they were written to."""


def stamp(module: nn.Module) -> Stamp:
    """Of what is frozen: where it is the same as before, under the same plan all the time, so is
    every bit of it. (A fused optimizer writes to what trains without a trace here.)"""
    return [(name, x.data_ptr(), x._version) for name, (x, frozen) in _own(module) if frozen]


def write(folder: Path, module: nn.Module, metadata: Mapping[str, str]) -> None:
    """Put a module's weights into `folder`; a file of what is frozen that is there is kept.

    Raises `OSError` and `SafetensorError`.
    """
    parts: dict[str, dict[str, Tensor]] = {FROZEN: {}, TRAINED: {}}
    for name, (tensor, frozen) in _own(module):
        parts[FROZEN if frozen else TRAINED][name] = tensor
    for file, tensors in parts.items():
        if tensors and not (folder / file).exists():
            on_cpu = {name: x.detach().cpu().contiguous() for name, x in tensors.items()}
            save_file(on_cpu, folder / file, dict(metadata))
    index = {
        "metadata": {"total_size": sum(x.nbytes for part in parts.values() for x in part.values())},
        "weight_map": {name: file for file, part in parts.items() for name in part},
    }
    (folder / INDEX).write_bytes(msgspec.json.encode(index))


def read(folder: Path) -> dict[str, Tensor]:
    """Parameters and buffers by torch's names, of the two files together. Raises `OSError`."""
    files = [folder / name for name in (FROZEN, TRAINED)]
    return {name: x for file in files if file.exists() for name, x in load_file(file).items()}


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Of what `write` saves, by name."""
    return {name: tuple(tensor.shape) for name, (tensor, _) in _own(module)}


def _own(module: nn.Module) -> Iterator[tuple[str, tuple[Tensor, bool]]]:
    """Each tensor by its first name, and whether it is frozen: nothing will write to it."""
    still = {
        id(buffer)
        for part in module.modules()
        if not part.training
        for buffer in part.buffers(recurse=False)
    }
    seen = set()
    for name, tensor in module.state_dict(keep_vars=True).items():
        key = tensor.data_ptr(), tensor.shape
        if key not in seen or tensor.numel() == 0:
            seen.add(key)
            is_parameter = isinstance(tensor, nn.Parameter)
            frozen = not tensor.requires_grad if is_parameter else id(tensor) in still
            yield name, (tensor, frozen)
