"""Settings by their dotted keys: as a form shows them, and as a run that trains takes them."""

import json
from collections.abc import Iterable

import msgspec

from engine.contract import toml
from engine.contract.commands import LIVE_OPTIONS, AnyCommand, SetLearningRate, SetOption
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.fields import Field, all_fields
from engine.contract.text import did_you_mean, plain

LR = "optimizer.lr"
LIVE = (LR, *LIVE_OPTIONS)
"""Keys that a run takes while it trains."""


def value_at(config: Config, key: str) -> object:
    """What stands at a dotted key."""
    place: object = config
    for name in key.split("."):
        place = getattr(place, name)
    return place


def value_text(value: object) -> str:
    """A value as it is shown and typed: text without quotes, the rest as TOML writes it."""
    return value if isinstance(value, str) else json.dumps(value)


def is_changed(field: Field, value: object) -> bool:
    """Whether a value is not the default; one without a default never is."""
    return field.default is not msgspec.NODEFAULT and value != field.default


def overrides(before: Config, after: Config) -> list[str]:
    """The `key=value` that make `before` to `after`, plans aside."""
    pairs = [(f.key, value_at(before, f.key), value_at(after, f.key)) for f in all_fields()]
    return [f"{key}={json.dumps(new)}" for key, old, new in pairs if new != old]


def changed(config: Config, key: str, text: str) -> Config:
    """`config` with a key set to what a person typed. Raises `UserError` where it does not fit."""
    return toml.with_options(config, {key: text})


def live_command(config: Config, key: str, text: str) -> SetLearningRate | SetOption:
    """The command that sets a key of a run under `config` to what a person typed.

    Raises `UserError` where that can't be changed in a run that trains, or the text does not fit.
    """
    if key not in LIVE:
        raise UserError(fixed(key))
    value = value_at(changed(config, key, text), key)
    if isinstance(value, float) and key == LR:
        return SetLearningRate(value)
    return SetOption(key, value_text(value))


def fixed(key: str) -> str:
    """Says that a key can't be changed while a run trains."""
    known = [field.key for field in all_fields()]
    if key not in known:
        return f'"{plain(key)}" is not a setting{did_you_mean(key, known) or "."}'
    return f"{key} is fixed while a run trains; a fork can change it."


def awaited(pending: Iterable[AnyCommand]) -> dict[str, str]:
    """Key to the text that it will have once the worker has obeyed."""
    found = {}
    for command in pending:
        match command:
            case SetLearningRate(lr=lr):
                found[LR] = value_text(lr)
            case SetOption(key=key, value=value):
                found[key] = value
    return found
