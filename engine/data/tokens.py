"""Texts as token ids, tokenised once, and batches of them padded to their longest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.data.batch import Batch
from engine.data.loader import Key

_AT_ONCE = 1000  # texts between two words of progress


@dataclass(frozen=True)
class Tokens:
    """Token ids of texts, one after the other: forked readers share flat arrays."""

    ids: NDArray[np.int32]
    ends: NDArray[np.int64]
    """Of each text in `ids`, after a first 0."""
    lengths: NDArray[np.int64]
    """Tokens of each text before it was cut, special ones included."""

    def __len__(self) -> int:
        return len(self.lengths)

    def of(self, position: int) -> NDArray[np.int32]:
        start, end = self.ends[position : position + 2]
        return self.ids[start:end]


def tokenise(
    tokenizer: Any, texts: Sequence[str], max_length: int, tell: Callable[[str], None]
) -> Tokens:
    """Special tokens included; what is longer than `max_length` is cut by the tokenizer itself,
    which keeps the special ones at the end."""
    found: list[NDArray[np.int32]] = []
    lengths: list[int] = []
    for start in range(0, len(texts), _AT_ONCE):
        some = list(texts[start : start + _AT_ONCE])
        whole = tokenizer(some, verbose=False, return_attention_mask=False)["input_ids"]
        for text, ids in zip(some, whole, strict=True):
            lengths.append(len(ids))
            if len(ids) > max_length:
                ids = tokenizer(text, truncation=True, max_length=max_length)["input_ids"]
            found.append(np.array(ids, np.int32))
        if len(lengths) < len(texts):
            tell(f"tokenised {len(lengths):,} of {len(texts):,} texts")
    ends = np.cumsum([0, *map(len, found)], dtype=np.int64)
    return Tokens(np.concatenate(found), ends, np.array(lengths, np.int64))


class TokenisedTexts:
    """Inputs `input_ids` and `attention_mask` (B, longest of the batch), int64; labels (B,)."""

    augmented = False

    def __init__(self, tokens: Tokens, labels: Sequence[int], padding: int) -> None:
        """`padding`: the id that fills shorter texts up, on the right."""
        self._tokens, self._padding = tokens, padding
        self.labels = np.array(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: Key) -> Batch:
        positions = [draw % len(self.labels) for draw in key.draws]
        texts = [self._tokens.of(position) for position in positions]
        longest = max(map(len, texts))
        ids = np.full((len(texts), longest), self._padding, np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = text
            mask[row, : len(text)] = 1
        inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        return Batch(inputs, torch.from_numpy(self.labels[positions]), numbers=positions)
