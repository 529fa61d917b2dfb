"""Fuzzy search over the names of models: `rn50`, `eff b0`, `convnext tiny`."""

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"(\d+)")


def natural(name: str) -> list[tuple[int, str]]:
    """A sort key under which resnet18 comes before resnet101."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _NUMBER.split(name)]


class Finder:
    """Ranks SOURCE/NAME; where two fit alike, sources keep their order and names are sorted."""

    def __init__(self, names: Sequence[str]) -> None:
        lower = [name.lower() for name in names]
        sources = list(dict.fromkeys(name.partition("/")[0] for name in lower))

        def place(index: int) -> tuple[int, list[tuple[int, str]]]:
            source, _, rest = lower[index].partition("/")
            return sources.index(source), natural(rest)

        self._names = sorted(((i, lower[i]) for i in range(len(lower))), key=lambda n: place(n[0]))

    def find(self, query: str) -> list[int]:
        """Indices of the names in which every word of the query is found, best first."""
        words = [_Word(word) for word in query.lower().split()]
        scored = []
        for index, name in self._names:
            scores = [word.score(name) for word in words]
            if all(scores):
                scored.append((-sum(scores), index))
        return [index for _, index in sorted(scored, key=lambda found: found[0])]


class _Word:
    """One word of a query."""

    def __init__(self, word: str) -> None:
        self._word = word
        self._at_start = re.compile(rf"(?<![a-z0-9]){re.escape(word)}")
        self._letters = re.compile(f"(?=({'.*?'.join(map(re.escape, word))}))")

    def score(self, name: str) -> float:
        """Above 4 for the name itself, less for a part of it; 0 where it is not in it."""
        own = name.rpartition("/")[2]
        if self._word in name:
            if own.startswith(self._word):
                return 5.0 if own == self._word else 4.0
            return 3.0 if self._at_start.search(name) else 2.0
        spans = [len(match[1]) for match in self._letters.finditer(own)]
        return len(self._word) / min(spans) if spans else 0.0
