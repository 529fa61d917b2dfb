"""Hypothesis strategies read off the structs of the contract, their bounds included."""

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def of(hint: Any, meta: msgspec.Meta | None = None) -> st.SearchStrategy[Any]:
    """Values of a type as the wire can carry them: no NaN, no lone surrogates."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        found = [m for m in inner[1:] if isinstance(m, msgspec.Meta)]
        return of(inner[0], next(iter(found), None))
    if origin in (Union, types.UnionType):
        return st.one_of([of(choice, meta) for choice in inner])
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is list:
        return st.lists(of(inner[0]), min_size=(meta and meta.min_length) or 0, max_size=3)
    if origin is dict:
        return st.dictionaries(of(inner[0]), of(inner[1]), max_size=3)
    if origin is tuple:
        return st.tuples(*map(of, inner))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return struct(hint)
    return _scalar(hint, meta or msgspec.Meta())


def struct(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{name: of(hints[name]) for name in kind.__struct_fields__})


def _scalar(kind: type, meta: msgspec.Meta) -> st.SearchStrategy[Any]:
    if kind is bool:
        return st.booleans()
    if kind is int:
        low = meta.ge if meta.ge is not None else -(2**53)
        return st.integers(int(low), int(meta.le if meta.le is not None else 2**53))
    if kind is float:
        low, high = (meta.gt, meta.lt) if meta.gt is not None else (meta.ge, meta.le)
        low, high = (low, meta.lt) if meta.lt is not None else (low, high or meta.le)
        return st.floats(
            low,
            high,
            exclude_min=meta.gt is not None,
            exclude_max=meta.lt is not None,
            allow_nan=False,
            allow_infinity=False,
        )
    if kind is str:
        if meta.pattern:
            return st.from_regex(meta.pattern, fullmatch=True).filter(str.isprintable)
        return _TEXT.filter(lambda text: len(text) >= (meta.min_length or 0))
    if kind is type(None):
        return st.none()
    raise TypeError(f"no strategy for {kind}")
