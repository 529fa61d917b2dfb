"""Texts as blocks of tokens, all of one length: nothing is padded."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.data.batch import Batch
from engine.data.loader import Key

_PIECE = 2**18
"""Characters that are tokenised as one text: longer documents are cut at the end of a line, which
may change the token there."""
_AT_ONCE = 16
Ids = NDArray[np.integer[Any]]


def tokenise(tokenizer: Any, documents: Sequence[str], tell: Callable[[str], None]) -> Ids:
    """All tokens of `documents` in one flat array, an end-of-text token after each document.

    Of the smallest type that has room for the tokenizer's vocabulary; a tokenizer without an
    end-of-text token puts nothing between documents. `tell` hears how far it is.
    """
    kind = np.uint16 if len(tokenizer) <= 2**16 else np.int32
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    total, done = sum(map(len, documents)), 0
    found: list[Ids] = []
    todo = _pieces(documents)
    while some := list(islice(todo, _AT_ONCE)):
        texts = [text for text, _ in some]
        tokens = tokenizer(
            texts, add_special_tokens=False, return_attention_mask=False, verbose=False
        )["input_ids"]
        for ids, (_, is_last) in zip(tokens, some, strict=True):
            found.append(np.array([*ids, *end] if is_last else ids, kind))
        done += sum(map(len, texts))
        if done < total:
            tell(f"tokenised {done:,} of {total:,} characters")
    return np.concatenate(found)


def _pieces(documents: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Each document in pieces, and whether a piece is the last of its document."""
    for text in documents:
        start = 0
        while len(text) - start > _PIECE:
            end = text.rfind("\n", start, start + _PIECE) + 1 or start + _PIECE
            yield text[start:end], False
            start = end
        yield text[start:], True


class Blocks:
    """Blocks of L tokens from a flat array; block i is tokens i * L to (i + 1) * L, and what is to
    be said of each token is the next one. What is left over at the end is dropped.

    Inputs are `input_ids` (B, L), targets (B, L), both int64.
    """

    augmented = False

    def __init__(self, ids: Ids, length: int) -> None:
        """`length` is L; `ids` must be longer than that."""
        self._ids, self.length = ids, length
        self.labels = np.zeros(len(self), np.int64)

    def __len__(self) -> int:
        return count_blocks(len(self._ids), self.length)

    @property
    def targets(self) -> Ids:
        """All targets of all blocks, flat."""
        return self._ids[1 : len(self) * self.length + 1]

    @property
    def tokens(self) -> int:
        """All, those that are dropped among them."""
        return len(self._ids)

    @property
    def left_over(self) -> int:
        """Tokens that are dropped."""
        return len(self._ids) - 1 - len(self) * self.length

    def __getitem__(self, key: Key) -> Batch:
        numbers = [draw % len(self) for draw in key.draws]
        starts = np.array(numbers)[:, None] * self.length
        windows = self._ids[starts + np.arange(self.length + 1)].astype(np.int64)
        # two tensors of their own, since a view of every window could not be pinned or shared
        inputs, targets = (torch.from_numpy(x.copy()) for x in (windows[:, :-1], windows[:, 1:]))
        return Batch({"input_ids": inputs}, targets, numbers=numbers)


def count_blocks(tokens: int, length: int) -> int:
    """How many blocks of `length` so many tokens make; the last needs a token after it."""
    return max(0, (tokens - 1) // length)
