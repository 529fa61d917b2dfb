"""What the tables of a config are made of."""

import re
from collections.abc import Iterable
from typing import Literal

from msgspec import Meta, Struct

Auto = Literal["auto"]


class Table(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file: immutable, unknown keys refused."""


def one_of(names: Iterable[str], description: str) -> Meta:
    """For a string that is one of `names`, which a registry decides."""
    pattern = "|".join(re.escape(name) for name in names)
    return Meta(pattern=f"^({pattern})$", description=description, extra={"choices": (*names,)})
