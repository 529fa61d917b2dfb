"""`config.toml` read and written; every error names file, key and what was expected."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec
import tomli_w

from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.fields import all_fields, bare, expected, struct_in
from engine.contract.rules import Rule, Stage
from engine.contract.text import nearest, plain

Part = TypeVar("Part", bound=msgspec.Struct)


def load(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """The config in the file at `path`, with `key=value` overrides applied.

    Raises `UserError` where the file can't be read, isn't TOML, or doesn't fit.
    """
    return parse(read(path, "config"), source=str(path), overrides=overrides)


def read(path: str | Path, what: str) -> str:
    """The text of a file, which is called `what` in errors. Raises `UserError`."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{plain(path)}: the {what} can't be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise UserError(f"{plain(path)}: the {what} is not UTF-8 text.") from None


def parse(text: str, source: str = "config.toml", overrides: Iterable[str] = ()) -> Config:
    """The config in a TOML text; `source` names it in errors, but in those of an override.

    Raises `UserError`.
    """
    try:
        data = tables(text, source)
        changed = [_override(data, override) for override in overrides]
        return convert_to(Config, data, source, changed)
    except RecursionError:
        raise UserError(f"{plain(source)}: values are nested too deeply in it.") from None


def tables(text: str, source: str) -> dict[str, Any]:
    """What a TOML text says, as nested plain values. Raises `UserError`."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{plain(source)}: not valid TOML ({plain(error)}).") from None
    except RecursionError:
        raise UserError(f"{plain(source)}: values are nested too deeply in it.") from None


def convert(data: Mapping[str, Any], source: str) -> Config:
    """Nested plain values to a `Config`. Raises `UserError` with file, key and expectation."""
    return convert_to(Config, data, source)


def convert_to(
    kind: type[Part], data: Mapping[str, Any], source: str, changed: Iterable[str] = ()
) -> Part:
    """The same for some of a config's tables, in a struct that names them as `Config` does.

    Keys that were `changed` since are no fault of the `source`.
    """
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        key, wrong = _explain(str(error), data)
        names = re.split(r"[.[]", key)
        blamed = any(_meet(names, other.split(".")) for other in changed)
        raise UserError(wrong if blamed else f"{plain(source)}: {wrong}") from None


def _meet(one: list[str], other: list[str]) -> bool:
    """Whether one of two paths is the other, or the way to it."""
    return all(a == b for a, b in zip(one, other, strict=False))


def with_options(config: Config, options: Mapping[str, str]) -> Config:
    """`config` with settings changed: key to value, both as `--set` takes them.

    Raises `UserError` where one does not fit.
    """
    return with_overrides(config, [f"{key}={value}" for key, value in options.items()])


def with_overrides(config: Config, overrides: Iterable[str]) -> Config:
    """`config` with `key=value` overrides. Raises `UserError` where one does not fit."""
    data: dict[str, Any] = msgspec.to_builtins(config)
    changed = [_override(data, override) for override in overrides]
    return convert_to(Config, data, "settings", changed)


def dump(config: Config) -> str:
    """The complete TOML text of `config`; `parse(dump(c)) == c`."""
    parts: list[str] = []
    for key, value in msgspec.to_builtins(config).items():
        if key == "trainable":
            parts += dump_rules(key, config.trainable)
        elif key == "stages":
            parts += [dump_stage(stage) for stage in config.stages]
        else:
            parts.append(tomli_w.dumps(_without_none({key: value})))
    return "\n".join(parts)


def dump_rules(name: str, rules: Iterable[Rule]) -> list[str]:
    """A table called `name` for each rule, with `match`, `train`, and whatever is not usual."""
    return [f"[[{name}]]\n{tomli_w.dumps(_telling(rule))}" for rule in rules]


def dump_stage(stage: Stage) -> str:
    """A stage and its rules, in tables."""
    after = f"[[stages]]\n{tomli_w.dumps({'after': stage.after})}"
    return "\n".join([after, *dump_rules("stages.trainable", stage.trainable)])


def _telling(rule: Rule) -> dict[str, Any]:
    """What a reader wants to know of a rule."""
    usual = Rule(match=rule.match)
    values: dict[str, Any] = msgspec.to_builtins(rule)
    told = {name: value for name, value in values.items() if value != getattr(usual, name)}
    return {"match": rule.match, "train": rule.train, **told}


def _without_none(value: Any) -> Any:
    """`value` without the keys that stand for nothing: TOML has no null, and None is a default."""
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, list) else value


def _override(data: dict[str, Any], override: str) -> str:
    """Returns the key."""
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UserError(
            f'--set wants key=value, such as training.epochs=20, not "{plain(override)}".'
        )
    *tables, last = key.split(".")
    place: Any = data
    for table in tables:
        place = place.setdefault(table, {})
        if not isinstance(place, dict):
            raise UserError(f"--set {plain(key)}: {plain(table)} is not a table of settings.")
    place[last] = _value(key, text.strip())
    return key


def _value(key: str, text: str) -> Any:
    """What `text` means for the setting `key`: a TOML value, or a bare word, which is a string."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    wants_text = bare(_look_up(key)[1]) is str  # a folder may be called 2024, or true
    return text if wants_text and not isinstance(value, str) else value


def _explain(message: str, data: Mapping[str, Any]) -> tuple[str, str]:
    """Key and sentence from msgspec's message, which ends in a path such as `$.model.name`."""
    what, _, where = message.partition(" - at `$")
    where = where.rstrip("`").lstrip(".")
    inside = f"{where}." if where else ""
    struct, hint = _look_up(where)
    if unknown := re.match(r"Object contains unknown field `(.*)`", what):
        name = unknown[1]
        valid = list(struct.__struct_fields__) if struct else []
        hint_text = _nearest_key(name, valid)
        listed = "" if hint_text else f"; valid here: {', '.join(valid)}."
        return inside + name, f'"{plain(inside + name)}" is not a setting{hint_text}{listed}'
    if missing := re.match(r"Object missing required field `(.*)`", what):
        return inside + missing[1], f"{inside}{missing[1]} is missing; it has no default."
    wanted = expected(hint) or ("a table of settings" if "Expected `object`" in what else "a list")
    found = _value_at(data, where)
    return where, f"{where or 'the file'} must be {wanted}, not {plain(repr(found), 80)}."


def _nearest_key(name: str, valid: Iterable[str]) -> str:
    """The hint at what is valid here, or where a key lives that stands in the wrong table."""
    places = {field.key.rpartition(".")[2]: field.key for field in reversed(all_fields())}
    places |= {here: here for here in valid}
    close = nearest(name, places)
    return f'; did you mean "{places[close[0]]}"?' if close else ""


def _look_up(where: str) -> tuple[type[msgspec.Struct] | None, Any]:
    """The innermost struct on the path `where`, and the type of what stands there."""
    struct: type[msgspec.Struct] | None = Config
    hint: Any = Config
    for name in re.sub(r"\[[^]]*\]", "", where).split("."):
        if name and struct is not None:
            hint = get_type_hints(struct, include_extras=True).get(name)
            struct = struct_in(hint)
    return struct, hint


def _value_at(data: Any, where: str) -> Any:
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", where):
        data = data[name] if name else data[int(index)]
    return data
