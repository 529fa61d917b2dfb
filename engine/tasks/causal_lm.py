"""Texts to the token that comes next: causal language modelling."""

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine import models
from engine.contract import inspection
from engine.contract.baseline import Baseline
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.events import DataIndexed, FileSkipped, TextsTokenised
from engine.contract.inspection import Ends
from engine.contract.text import plain
from engine.data import Feeding, TrainLoader, ValLoader
from engine.data.blocks import Blocks, Ids, count_blocks, tokenise
from engine.data.documents import Document, Documents, read_documents
from engine.data.preview import COUNTED, Preview, Reader, TextPart
from engine.models.source import Language, LoadedModel, Tell
from engine.tasks import seen
from engine.tasks.next_token import NextToken
from engine.tasks.task import Blank

_LONGEST, _SHORTEST = 1024, 64
"""Of blocks whose length is "auto"."""
_ENOUGH = 64
"""Training blocks that an epoch should have before they are made shorter."""
_NAMED = 100
"""Tokens that a block is named by."""
_PROMPT = 12
"""Tokens of the validation text that generated texts go on from."""


@dataclass(frozen=True)
class TextIndex:
    """Texts as blocks of tokens."""

    train: Blocks
    val: Blocks
    skipped: list[FileSkipped]
    tokenizer: Any
    classes: list[str]

    def name_of(self, number: int) -> str:
        """With how it begins, since a block is no file."""
        start = number * self.val.length
        ids = self.val.targets[start : start + _NAMED].tolist()
        return f"block {number + 1:,}: {plain(self.tokenizer.decode(ids))}"

    @property
    def digest(self) -> str:
        """Of the training tokens, and how long their blocks are."""
        digest = hashlib.blake2b(f"{self.train.length} ".encode(), digest_size=16)
        digest.update(self.train.targets.astype(np.int32).tobytes())
        return digest.hexdigest()

    def told(self) -> DataIndexed:
        return DataIndexed(
            classes=[],
            train_counts=[len(self.train)],
            val_counts=[len(self.val)],
            baseline=Baseline(
                "perplexity",
                unigram_perplexity(self.train.targets, self.val.targets, len(self.tokenizer)),
                "guessing by how often each token occurs",
            ),
        )


class CausalLM:
    """Files of text, a model of Transformers that gives logits for the next token."""

    def index(self, config: Config, tell: Tell) -> TextIndex:
        language = models.language(config, tell)
        documents = read_documents(config, tell)
        train, val = _blocks(config, language, documents, tell)
        tell(
            f"{train.tokens:,} tokens to train on, in {len(train):,} blocks of {train.length:,} "
            f"({train.left_over:,} left over), and {val.tokens:,} to validate on, in "
            f"{len(val):,} ({val.left_over:,} left over)"
        )
        return TextIndex(train, val, documents.skipped, language.tokenizer, [])

    def data(
        self, config: Config, index: TextIndex, model: LoadedModel, feeding: Feeding
    ) -> tuple[TrainLoader, ValLoader]:
        feeding.tell(TextsTokenised(longest=index.train.length))
        here = replace(
            feeding, workers=0, up_to=0
        )  # blocks lie in memory: there is nothing to read
        return (
            TrainLoader(index.train, config.data, config.training.seed, here),
            ValLoader(index.val, config.data, here),
        )

    def preview(self, config: Config, tell: Tell) -> Preview:
        """Of documents: blocks begin and end anywhere in them."""
        documents, reader = read_documents(config, tell), seen.reader(config)

        def part(of: list[Document]) -> TextPart:
            texts = [document.text for document in of]
            name = seen.below(config)
            return TextPart(texts, [()] * len(of), lambda n: name(of[n].name), reader)

        told = DataIndexed(
            classes=[],
            train_counts=[len(documents.train)],
            val_counts=[len(documents.val)],
            baseline=None,
        )
        sizes, blocks, remarks = _characters(documents), [], []
        if sum(sizes) <= COUNTED and reader().tokenizer is not None:
            try:
                blocks = [*_blocks(config, reader(), documents, tell)]
            except UserError as error:
                remarks.append(str(error))
        if blocks:
            sizes = [part.tokens for part in blocks]
        return Preview(
            told,
            part(documents.train),
            part(documents.val),
            documents.skipped,
            documents.held_out,
            remarks,
            Ends(sizes[1], sum(sizes), in_tokens=bool(blocks)) if documents.ends else None,
            inspection.Blocks(blocks[0].length, *map(len, blocks)) if blocks else None,
        )

    def objective(self, config: Config, index: TextIndex) -> NextToken:
        tokenizer, asked = index.tokenizer, config.text.sample_prompt
        prompt = tokenizer(asked, add_special_tokens=False)["input_ids"] if asked else []
        return NextToken(
            config,
            tokenizer,
            prompt or index.val.targets[:_PROMPT].tolist(),
            index.train.length,
        )

    def blank(self, config: Config, model: LoadedModel, classes: int) -> Blank:
        """Blocks as long as they may be: how long, the data decides."""
        asked, positions = config.text.max_length, model.info.positions
        length = min(positions or _LONGEST, _LONGEST) if asked == "auto" else asked

        def batch(size: int) -> tuple[dict[str, Tensor], Tensor]:
            ids = torch.zeros(size, length, dtype=torch.int64)
            return {"input_ids": ids}, torch.zeros_like(ids)

        return Blank(NextToken(config, model.tokenizer, [], length), batch, length)


def unigram_perplexity(train: Ids, val: Ids, vocabulary: int) -> float:
    """Of the validation tokens, by the frequencies of the training tokens with one added to each
    (Laplace's rule)."""
    counts = np.bincount(train, minlength=vocabulary) + 1.0
    return math.exp(float(np.mean(math.log(counts.sum()) - np.log(counts[val]))))


def _characters(documents: Documents) -> list[int]:
    """Of what is to train and to validate on."""
    parts = documents.train, documents.val
    return [sum(len(document.text) for document in part) for part in parts]


def _blocks(
    config: Config, language: Language | Reader, documents: Documents, tell: Tell
) -> tuple[Blocks, Blocks]:
    """To train and to validate on. Raises `UserError` where the text is too short."""
    train, val = (
        tokenise(language.tokenizer, [document.text for document in part], tell)
        for part in (documents.train, documents.val)
    )
    length = _length(config.text.max_length, language.positions, train, val)
    _check(train, "training", length)
    _check(val, "validation", length)
    return Blocks(train, length), Blocks(val, length)


def _length(asked: int | str, positions: int | None, train: Ids, val: Ids) -> int:
    """Tokens of a block: as asked, or where that is "auto" as many as the model takes, up to 1024,
    halved down to 64 while an epoch has few of them."""
    if isinstance(asked, int):
        if positions and asked > positions:
            raise UserError(
                f"text.max_length: the model takes {positions:,} tokens at once, not {asked:,}; "
                "set it lower."
            )
        return asked
    length = min(positions or _LONGEST, _LONGEST)
    while length // 2 >= _SHORTEST and (
        count_blocks(len(train), length) < _ENOUGH or not count_blocks(len(val), length)
    ):
        length //= 2
    return length


def _check(ids: Ids, what: str, length: int) -> None:
    if not count_blocks(len(ids), length):
        raise UserError(
            f"data.path: the {what} text has {len(ids):,} tokens, too few for one block of "
            f"{length:,} and the token after it; give more text, or set text.max_length lower."
        )
