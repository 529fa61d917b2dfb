"""TOML text as lines of a list, all of it readable."""

from rich.cells import chop_cells
from textual.content import Content

from engine.contract.text import plain

_LONGEST = 10_000
"""Characters of a line; a regular expression may be long."""


def toml_lines(text: str, width: int = 0) -> list[Content]:
    """One a line, keys muted and tables strong; what is longer than `width` goes on below."""
    found: list[Content] = []
    for line in text.splitlines():
        key, equals, value = plain(line, _LONGEST).partition(" = ")
        if not equals:
            found.append(Content.styled(key, ".strong"))
            continue
        first, *rest = chop_cells(key + equals + value, width) if width else [key + equals + value]
        start = len(key) + len(equals)
        found.append(Content.assemble((first[:start], ".muted"), first[start:]))
        found += map(Content, rest)
    return found
