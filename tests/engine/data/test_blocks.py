"""Documents become one flat row of tokens, and that becomes blocks."""

import numpy as np
import pytest

from engine.data.blocks import Blocks, count_blocks, tokenise
from engine.data.loader import Key
from engine.data.transforms import Augmentation
from tests.engine.language import tokenizer


def test_an_end_stands_after_each_document_and_nothing_else_is_added() -> None:
    reads = tokenizer()
    ids = tokenise(reads, ["the cat", "a dog"], lambda _: None)
    assert reads.decode(ids) == "the cat<|endoftext|>a dog<|endoftext|>"
    assert ids.dtype == np.uint16


def test_long_documents_are_read_in_pieces_with_nothing_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.data.blocks._PIECE", 50)
    reads, words = tokenizer(), list[str]()
    text = "the cat sat on the mat\n" * 100 + "x" * 120
    ids = tokenise(reads, [text], words.append)
    assert reads.decode(ids) == text + "<|endoftext|>"
    assert words[0] == "tokenised 736 of 2,420 characters"


def test_each_token_but_the_first_is_a_target_once() -> None:
    blocks = Blocks(np.arange(11, dtype=np.uint16), 3)
    assert (len(blocks), blocks.left_over) == (3, 1)
    batch = blocks[Key(1, (2, 0), Augmentation())]
    assert isinstance(batch.inputs, dict)
    assert batch.inputs["input_ids"].tolist() == [[6, 7, 8], [0, 1, 2]]
    assert batch.targets.tolist() == [[7, 8, 9], [1, 2, 3]]
    assert blocks.targets.tolist() == list(range(1, 10))


@pytest.mark.parametrize(("tokens", "blocks"), [(0, 0), (1, 0), (3, 0), (4, 1), (6, 1), (7, 2)])
def test_the_last_block_needs_a_token_after_it(tokens: int, blocks: int) -> None:
    assert count_blocks(tokens, 3) == blocks
