"""A model in Transformers' format as a folder: the user's own, or one of the Hugging Face hub."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.contract.config import is_folder
from engine.contract.errors import UserError
from engine.contract.paths import expand
from engine.contract.text import plain
from engine.models.download import UnreachableError
from engine.models.hub import cache_folder, reach
from engine.models.pooling import STATED
from engine.models.source import Tell
from engine.places import similar

NEEDS_TRANSFORMERS = (
    "model.name: language models need Transformers: pip install 'finetune-tui[text]'"
)
CONFIG = "config.json"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
TOKENIZERS = (
    *("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model", "spm.model"),
    *("sentencepiece.bpe.model", "tekken.json"),
)
_TEXTS = ("*.json", "*.txt", "*.model", "*.jinja")


def has_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (*_WEIGHTS, *_PICKLED))


def folder_of(name: str, whole: bool, tell: Tell) -> Path:
    """Where the files of a model lie: `name` is a folder's path, or ORG/NAME of the hub.

    What is cached is used without a look at the network. whole: weights and tokenizer too, not the
    config alone. Raises `UserError` where there is no config, or it can't be had.
    """
    return _own(name) if is_folder(name) else _of_hub(name, whole, tell)


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """The content of config.json; raises `UserError` where it is no model's."""
    try:
        found = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"model.name: {plain(folder / CONFIG)} can't be read ({plain(error, 120)})."
        ) from None
    if not isinstance(found, dict) or "model_type" not in found:
        raise UserError(
            f"model.name: {CONFIG} of {plain(name)} names no model_type, so that it is not a model "
            "of Transformers."
        )
    return found


def cached() -> Iterator[tuple[str, Path]]:
    """ORG/NAME and folder of each model in the local cache whose config is there."""
    for place in sorted(cache_folder().glob("models--*")):
        newest = place / "refs" / "main"
        if newest.is_file():
            folder = place / "snapshots" / newest.read_text().strip()
            if (folder / CONFIG).is_file():
                yield place.name.removeprefix("models--").replace("--", "/"), folder


def _own(name: str) -> Path:
    folder = expand(name)
    if not folder.is_dir():
        hint = similar(folder) or "; give the folder that holds config.json."
        raise UserError(f"model.name: the folder {plain(folder)} does not exist{hint}")
    if not (folder / CONFIG).is_file():
        raise UserError(
            f"model.name: the folder {plain(folder)} has no {CONFIG}; give one that Transformers' "
            "save_pretrained wrote."
        )
    return folder


def _of_hub(name: str, whole: bool, tell: Tell) -> Path:
    there = _in_cache(name)
    if there is not None and (has_weights(there) or not whole):
        return there
    try:
        return _downloaded(name, whole, tell)
    except UnreachableError as reason:
        wanted = f"{CONFIG}, model.safetensors and the tokenizer's files" if whole else CONFIG
        raise UserError(
            f"hf/{plain(name)} is not on disk and can't be downloaded ({reason}): get {wanted} of "
            f"the Hugging Face repository {plain(name)} into a folder and name it in model.name, "
            f"such as ./{plain(name.rpartition('/')[2])} (a cache copied from elsewhere goes to "
            f"{plain(cache_folder())}; HF_HOME names another place)."
        ) from None


def _in_cache(name: str) -> Path | None:
    _need_hub()
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, CONFIG)
    except HFValidationError:
        raise UserError(
            f'model.name: "hf/{plain(name)}" is no name of the Hugging Face hub, which has '
            "ORG/NAME; write a folder as ./NAME."
        ) from None
    return Path(found).parent if isinstance(found, str) else None


def _downloaded(name: str, whole: bool, tell: Tell) -> Path:
    from huggingface_hub import HfApi, constants, snapshot_download

    reach(constants.ENDPOINT)
    tell(f"downloading {plain(name)}")
    try:
        if not whole:
            return Path(snapshot_download(name, allow_patterns=[CONFIG, STATED]))
        names = HfApi().list_repo_files(name)
        weights = "model*.safetensors" if set(_WEIGHTS) & set(names) else "pytorch_model*.bin"
        return Path(snapshot_download(name, allow_patterns=[*_TEXTS, weights]))
    except Exception as error:  # the client's own, its HTTP library's, the disk's
        raise UnreachableError(plain(error, 160)) from None


def _need_hub() -> None:
    if importlib.util.find_spec("transformers") is None:
        raise UserError(NEEDS_TRANSFORMERS)
