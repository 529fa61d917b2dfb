"""What activations depend on, as digests."""

import hashlib
import importlib.metadata
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.contract.config import own_module
from engine.data.batch import Inputs
from engine.prefix.cut import Cut

if TYPE_CHECKING:
    from engine.session import Session

_SIZE = 16
_COMPUTE = ("finetune-tui", "torch", "torchvision", "timm", "transformers", "peft")
"""Packages whose code a forward pass may be."""
_FORMAT = 1
"""To be raised where ftui comes to feed, cut or store otherwise."""


def of_rows(session: "Session", cut: Cut, precision: str) -> bytes:
    """Of all that the rows of a run depend on but for what goes in: where they are taken, weights,
    pieces, and the precision in which they are kept."""
    digest = hashlib.blake2b(digest_size=_SIZE)
    digest.update(repr((cut.points, cut.into, precision, session.progress.pieces)).encode())
    _add(digest, cut.fixed)
    return digest.digest()


def of_computing(session: "Session", rows: bytes) -> bytes | None:
    """Of all that the rows of any run depend on but for what goes in, `rows` being `of_rows`; None
    where it is not known what code that is."""
    if own_module(session.config.model.name):
        return None
    device = session.device
    about = (
        _FORMAT,
        session.info.name,
        repr(session.info.preprocessing),  # what goes in is not normalised yet
        repr(session.module),
        str(getattr(session.module, "config", "")),
        (
            device.torch_device.type,
            device.name,
            device.precision,
            device.channels_last,
            torch.get_num_threads(),
        ),
        [_version(package) for package in _COMPUTE],
    )
    digest = hashlib.blake2b(rows, digest_size=_SIZE)
    digest.update(repr(about).encode())
    return digest.digest()


def of_inputs(inputs: Inputs) -> str:
    """Of every bit of a batch."""
    named = {"": inputs} if isinstance(inputs, Tensor) else inputs
    digest = hashlib.blake2b(digest_size=_SIZE)
    for name in sorted(named):
        digest.update(f"{name} {named[name].dtype} {tuple(named[name].shape)}\0".encode())
        _add(digest, [named[name]])
    return digest.hexdigest()


def _add(digest: "hashlib.blake2b", tensors: Iterable[Tensor]) -> None:
    for tensor in tensors:
        flat = tensor.detach().cpu().contiguous().flatten()
        if flat.numel():
            digest.update(flat.view(torch.uint8).numpy().data)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
