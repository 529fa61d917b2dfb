"""The config's fields as data: for the form, for the help, and for errors in words."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from engine.contract.config import Config
from engine.contract.rules import Rule


class Field(msgspec.Struct, frozen=True):
    """One setting that a form can show."""

    key: str
    """Dotted, as `--set` takes it."""
    help: str
    expected: str
    """What it accepts, in words."""
    choices: tuple[str, ...]
    """The only values it accepts, as TOML words; empty where it is open."""
    default: Any
    """`msgspec.NODEFAULT` where there is none."""

    @property
    def table(self) -> str:
        """That it stands in; empty where it stands in none."""
        return self.key.rpartition(".")[0]


def all_fields() -> list[Field]:
    """Every setting but the rules of the plan, in the order of the file."""
    return list(_fields(Config, ""))


def rule_fields() -> list[Field]:
    """What a rule of the plan takes."""
    return list(_fields(Rule, "[[trainable]] "))


def _fields(struct: type[msgspec.Struct], prefix: str) -> Iterator[Field]:
    hints = get_type_hints(struct, include_extras=True)
    for info in msgspec.structs.fields(struct):
        hint = hints[info.name]
        inner = struct_in(hint)
        if get_origin(bare(hint)) is list:
            continue
        if inner:
            yield from _fields(inner, f"{prefix}{info.name}.")
            continue
        meta = next(m for m in hint.__metadata__ if isinstance(m, msgspec.Meta))
        yield Field(
            key=prefix + info.name,
            help=meta.description or "",
            expected=expected(hint),
            choices=_choices(hint),
            default=info.default,
        )


def expected(hint: Any) -> str:
    """What a field accepts, in words, from its type and its bounds; empty for a table or list."""
    metas = [m for m in getattr(hint, "__metadata__", ()) if isinstance(m, msgspec.Meta)]
    for meta in metas:
        if meta.extra and "expected" in meta.extra:
            return str(meta.extra["expected"])
    if bare(hint) is bool:
        return "true or false"
    if choices := _choices(hint):
        return "one of " + ", ".join(f'"{choice}"' for choice in choices)
    kind = {int: "a whole number", float: "a number", str: "text"}.get(bare(hint))
    if kind is None:
        return ""
    bounds = [
        f"{word} {limit}"
        for meta in metas
        for word, limit in (
            ("at least", meta.ge),
            ("above", meta.gt),
            ("at most", meta.le),
            ("below", meta.lt),
        )
        if limit is not None
    ]
    if any(meta.min_length for meta in metas):
        kind += " that is not empty"
    return " ".join([kind, " and ".join(bounds)]).strip()


def bare(hint: Any) -> Any:
    """A type without its annotations."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def struct_in(hint: Any) -> type[msgspec.Struct] | None:
    """The struct that a hint names, alone or in a list."""
    inner = bare(hint)
    inner = get_args(inner)[0] if get_origin(inner) is list else inner
    return inner if isinstance(inner, type) and issubclass(inner, msgspec.Struct) else None


def _choices(hint: Any) -> tuple[str, ...]:
    inner = bare(hint)
    for meta in getattr(hint, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.extra and "choices" in meta.extra:
            return tuple(meta.extra["choices"])
    if inner is bool:
        return ("true", "false")
    return get_args(inner) if get_origin(inner) is Literal else ()
