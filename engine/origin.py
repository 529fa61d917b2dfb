"""The weights that a run began with, kept in its folder for what goes back to them.

A resume has no other way to them: the original weights may be gone by then. The head is left out,
since its start is random.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from engine.checkpoint import START
from engine.contract.errors import UserError
from engine.contract.text import plain
from engine.files import save_whole

_DIGEST = "blake2b"


def keep(folder: Path, module: nn.Module, head: Sequence[str]) -> dict[str, Tensor]:
    """Write the parameters and the float buffers of `module`, those of its head left out.

    Returns copies on the CPU, by torch's names. Raises `UserError` where the disk refuses.
    """
    in_head = tuple(f"{path}." for path in head)
    start = {
        name: tensor.to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in module.state_dict().items()
        if tensor.is_floating_point() and not name.startswith(in_head)
    }
    try:
        save_whole(folder / START, start, {_DIGEST: _digest(start)})
    except OSError as error:
        raise UserError(
            f"{START} could not be saved in {plain(folder)} ({plain(error.strerror)})."
        ) from error
    return start


def read(folder: Path) -> dict[str, Tensor]:
    """What `keep` has kept. Raises `UserError` where it is not there, or not as it was written."""
    try:
        with safe_open(folder / START, "pt") as file:
            start = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            whole = (file.metadata() or {}).get(_DIGEST) == _digest(start)
    except FileNotFoundError:
        raise UserError(_unusable(folder, "not there")) from None
    except (OSError, SafetensorError):
        whole = False
    if not whole:
        raise UserError(_unusable(folder, "damaged"))
    return start


def points(start: Mapping[str, Tensor], reinitialised: Collection[str]) -> dict[str, Tensor]:
    """Those of `start` that still are one: not of the modules that the plan began anew."""
    return {n: start[n] for n in start if n.rpartition(".")[0] not in reinitialised}


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.blake2b()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _unusable(folder: Path, why: str) -> str:
    return (
        f"{plain(folder / START)}, the weights that the run began with, is {why}: set "
        "regularisation.l2_sp to 0 and wise_ft to false, or start a new run."
    )
