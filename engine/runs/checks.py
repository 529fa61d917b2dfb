"""What can be said of a config before torch is loaded: does what it names exist?"""

import importlib.util
import os
from pathlib import Path

import msgspec
from msgspec.structs import replace

from engine.contract import consistency, toml
from engine.contract.adapters import NEEDS_PEFT
from engine.contract.config import Config, is_folder, own_module, weights_file
from engine.contract.errors import UserError
from engine.contract.paths import expand
from engine.contract.text import plain
from engine.places import known_set

_LISTS = (".csv", ".tsv", ".jsonl", ".txt", ".md")
"""Files that are a whole data set."""


def ready(config: Config, resumed: bool = False) -> Config:
    """`config` with absolute paths, so that the run can be resumed from anywhere.

    Raises `UserError` where a value is out of range, settings contradict each other, the data
    folder can't be read, adapters are asked for and peft is missing, or a weights file is named
    that isn't there; a run that is resumed has its weights in a checkpoint.
    """
    toml.convert(msgspec.to_builtins(config), source="config")
    consistency.check(config)
    rules = [*config.trainable, *(rule for stage in config.stages for rule in stage.trainable)]
    if any(rule.lora for rule in rules) and importlib.util.find_spec("peft") is None:
        raise UserError(NEEDS_PEFT)
    file = weights_file(config.model.weights)
    try:
        data = config.data
        if not known_set(data.path):
            data = replace(data, path=str(_data_folder(data.path)))
        weights = str(_weights_file(file, must_exist=not resumed)) if file else config.model.weights
    except OSError as error:  # no permission on the way there, or no possible name
        raise UserError(f"{plain(error.filename)}: can't be read ({error.strerror}).") from None
    model = replace(config.model, name=_model_name(config.model.name), weights=weights)
    return replace(config, data=data, model=model)


def _model_name(name: str) -> str:
    """SOURCE/NAME as it is; a folder, or a file of the user's own code, by its absolute path."""
    if own := own_module(name):
        file = _absolute(str(own[0]), "model.name")
        if not file.is_file():
            raise UserError(f"model.name: there is no file {plain(file)}.")
        return f"{file}:{own[1]}"
    return str(_absolute(name, "model.name")) if is_folder(name) else name


def _data_folder(named: str) -> Path:
    folder = _absolute(named, "data.path")
    if not folder.exists():
        raise UserError(f"data.path: there is no folder {plain(folder)}.")
    if folder.is_file() and folder.suffix.lower() in _LISTS:
        return folder
    if not folder.is_dir():
        raise UserError(f"data.path: {plain(folder)} is a file, not a folder of class folders.")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise UserError(f"data.path: the folder {plain(folder)} may not be read.")
    return folder


def _weights_file(file: Path, must_exist: bool) -> Path:
    file = _absolute(str(file), "model.weights")
    if must_exist and not file.is_file():
        raise UserError(f"model.weights: there is no file {plain(file)}.")
    return file


def _absolute(named: str, key: str) -> Path:
    path = expand(named).absolute()
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UserError(f"{key}: {plain(path)} is not UTF-8, which a config must be.") from None
    return path
