"""A published weights file of timm, from the Hugging Face hub or by its address, cached."""

from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch

from engine.contract.errors import UserError
from engine.contract.text import plain
from engine.models.download import UnreachableError, download, reason_of
from engine.models.source import Tell

_FILES = ("model.safetensors", "pytorch_model.bin")
_TIMEOUT = 15.0  # seconds


def cache_folder() -> Path:
    """Where the hub's downloads lie; HF_HOME moves it."""
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ModuleNotFoundError:
        return Path("~/.cache/huggingface/hub").expanduser()
    return Path(HF_HUB_CACHE)


def hub_file(model: str, config: Any, tell: Tell) -> Path:
    """The file of a timm PretrainedCfg, downloaded where it is not cached; `model` for errors.

    Raises `UserError` where the model has no published weights or they can't be had.
    """
    if not config.hf_hub_id and not config.url:
        raise UserError(
            f'model.weights: timm publishes no weights of {model}; name a file, or set "none".'
        )
    try:
        return (
            _repository_file(config.hf_hub_id, tell) if config.hf_hub_id else _at(config.url, tell)
        )
    except UnreachableError as reason:
        wanted, folder, variable = (
            (
                f"model.safetensors of the Hugging Face repository {config.hf_hub_id}",
                cache_folder(),
                "HF_HOME",
            )
            if config.hf_hub_id
            else (config.url, _torch_cache(), "TORCH_HOME")
        )
        raise UserError(
            f"The weights of {model} are not on disk and can't be downloaded ({reason}): get "
            f"{wanted} and name the file in model.weights (a cache copied from elsewhere goes to "
            f'{plain(folder)}; {variable} names another place), or set "none".'
        ) from None


def _repository_file(repository: str, tell: Tell) -> Path:
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for name in _FILES:  # asked first: the hub's client tries the network for half a minute
        cached = try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached)
    reach(constants.ENDPOINT)
    tell(f"downloading {repository}")
    for name in _FILES:
        try:
            return Path(hf_hub_download(repository, name))
        except LocalEntryNotFoundError as error:
            raise UnreachableError(plain(error, 120)) from None
        except EntryNotFoundError:
            continue
        except Exception as error:  # the client's own, its HTTP library's, the disk's
            raise UnreachableError(plain(error, 120)) from None
    raise UnreachableError(f"it holds neither {' nor '.join(_FILES)}")


def reach(endpoint: str) -> None:
    """Fail at once where there is no network; any answer of the host will do."""
    try:
        urlopen(Request(endpoint, method="HEAD"), timeout=_TIMEOUT).close()
    except HTTPError:
        return
    except OSError as error:
        raise UnreachableError(reason_of(error)) from None


def _at(url: str, tell: Tell) -> Path:
    path = _torch_cache() / url.rpartition("/")[2]
    if not path.exists():
        tell(f"downloading {path.name}")
        download(url, path, None, tell)
    return path


def _torch_cache() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"
