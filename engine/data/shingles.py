"""Texts that are nearly the same, told by the runs of words that they share."""

import math
import re
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_WORDS = 3
"""Of a shingle."""
_LEAST = 0.7
"""Jaccard similarity from which on texts are nearly the same: of twenty words one may differ."""
_MOST_SHARE = 200
"""Texts that are looked at for each shingle: where more have it, it tells little."""
_MOST_COMPARED = 50
"""Texts that each is compared with: those that share most of the rarest."""
_WORD = re.compile(r"[^\W\u3040-\u9fff]+|[\u3040-\u9fff]")
"""Chinese and Japanese have no blanks between words: each character is one."""
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)

Shingles = NDArray[np.uint32]
"""Hashes of a text's shingles, each once and in order."""


def of(text: str) -> Shingles:
    """Case, spaces and punctuation don't count; a shorter text is one shingle."""
    words = np.array(
        [zlib.crc32(word.encode()) for word in _WORD.findall(text.casefold())], np.uint64
    )
    count = max(min(len(words), 1), len(words) - _WORDS + 1)
    mixed = np.zeros(count, np.uint64)
    for place, factor in enumerate(_MIX[: len(words)]):
        mixed += words[place : place + count] * factor
    return np.unique((mixed >> np.uint64(32)).astype(np.uint32))


def nearest(some: Sequence[Shingles], others: Sequence[Shingles]) -> Iterator[int]:
    """For each of `some` the position in `others` of the most similar text, or -1 where none is
    nearly the same.

    Two sets that are so similar share one of the rarest few of either (prefix filtering, Chaudhuri
    et al. 2006; Bayardo et al. 2007), so that few pairs have to be compared.
    """
    rare = _rarest_first([*some, *others])
    sizes = np.array([len(each) for each in others])
    prefixes = [_prefix(each) for each in rare[len(some) :]]
    owners = np.repeat(np.arange(len(others)), [len(each) for each in prefixes])
    keys = np.concatenate([np.zeros(0, np.int64), *prefixes])
    order = keys.argsort(kind="stable")
    keys, owners = keys[order], owners[order]
    for own, ranks in zip(some, rare, strict=False):
        wanted = _prefix(ranks)
        spans = zip(*(keys.searchsorted(wanted, side) for side in ("left", "right")), strict=True)
        close = [owners[start : min(end, start + _MOST_SHARE)] for start, end in spans]
        there, shared = np.unique(np.concatenate([owners[:0], *close]), return_counts=True)
        fits = (sizes[there] >= _LEAST * len(own)) & (_LEAST * sizes[there] <= len(own))
        candidates = there[fits][(-shared[fits]).argsort(kind="stable")][:_MOST_COMPARED].tolist()
        alike = [_jaccard(own, others[place]) for place in candidates]
        best = max(alike, default=0.0)
        yield candidates[alike.index(best)] if best >= _LEAST else -1


def _rarest_first(texts: Sequence[Shingles]) -> list[NDArray[np.int64]]:
    """Each text's shingles as ranks by how many texts have them."""
    if not any(map(len, texts)):
        return [np.zeros(0, np.int64) for _ in texts]
    values, places, counts = np.unique(
        np.concatenate(texts), return_inverse=True, return_counts=True
    )
    ranks = np.empty(len(values), np.int64)
    ranks[counts.argsort(kind="stable")] = np.arange(len(values))
    return [np.sort(part) for part in np.split(ranks[places], np.cumsum([*map(len, texts)])[:-1])]


def _prefix(ranks: NDArray[np.int64]) -> NDArray[np.int64]:
    """As many that a text that shares none of them can't be similar."""
    return ranks[: len(ranks) - math.ceil(_LEAST * len(ranks)) + 1] if len(ranks) else ranks


def _jaccard(one: Shingles, other: Shingles) -> float:
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / (len(one) + len(other) - both)
