"""Near copies of texts, by real sentences, and against comparing every pair."""

import random
from itertools import product

import numpy as np

from engine.data import shingles

ALICE = (
    "Alice was beginning to get very tired of sitting by her sister on the bank, and of having "
    "nothing to do: once or twice she had peeped into the book her sister was reading, but it had "
    "no pictures or conversations in it."
)
PRIDE = (
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, "
    "must be in want of a wife."
)
RASHOMON = "ある日の暮方の事である。一人の下人が、羅生門の下で雨やみを待っていた。"
OTHERS = [
    "Alice was not a bit hurt, and she jumped up on to her feet in a moment.",
    "However little known the feelings or views of such a man may be on his first entering a "
    "neighbourhood, this truth is so well fixed in the minds of the surrounding families.",
    "国境の長いトンネルを抜けると雪国であった。夜の底が白くなった。",
    "Call me Ishmael.",
    "",
]


def test_real_sentences() -> None:
    close = [
        ALICE.replace("very tired", "quite tired"),
        PRIDE.lower().replace(",", " -- ") + "  ",
        RASHOMON.replace("一人の", "ひとりの"),
        "CALL ME: Ishmael!",
    ]
    known = [shingles.of(text) for text in (*OTHERS, ALICE, PRIDE, RASHOMON)]
    assert list(shingles.nearest([shingles.of(text) for text in close], known)) == [5, 6, 7, 3]
    apart = [ALICE[: len(ALICE) // 2], "Call me Ahab.", "It is a truth.", "", "。"]
    assert set(shingles.nearest([shingles.of(text) for text in apart], known)) == {-1}
    assert set(shingles.nearest(known, [])) == {-1}


def test_it_finds_what_comparing_every_pair_finds() -> None:
    """Texts of few words, many of which are nearly the same and many nearly so."""
    draw = random.Random(7)
    base = [draw.choices([f"w{i}" for i in range(30)], k=draw.randint(1, 40)) for _ in range(20)]

    def changed(words: list[str]) -> str:
        return " ".join(draw.choice("xyz") if draw.random() < 0.06 else word for word in words)

    some, others = ([shingles.of(changed(words)) for words in base * 6] for _ in range(2))
    best = np.array([shingles._jaccard(a, b) for a, b in product(some, others)])
    best = best.reshape(len(some), -1).max(1)
    found = np.array(list(shingles.nearest(some, others)))
    assert ((found >= 0) == (best >= shingles._LEAST)).all()
    hits = [shingles._jaccard(some[n], others[at]) for n, at in enumerate(found) if at >= 0]
    assert hits == best[found >= 0].tolist()
    assert 20 < len(hits) < len(some)
