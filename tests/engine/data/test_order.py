"""Orders of an epoch: functions of their seed, each class as often as asked for."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.data import order

labels = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array)
seeds = st.integers(0, 2**64 - 1)


@given(labels, seeds)
def test_balanced_draws_are_as_many_as_pictures_and_all_different(
    labels: np.ndarray, seed: int
) -> None:
    draws = order.balanced(labels, seed)
    count = len(labels)
    assert len(set(draws)) == len(draws) == count
    times = Counter[int]()
    for draw in draws:  # the first time a picture is its position, then count more each time
        assert draw == draw % count + times[draw % count] * count
        times[draw % count] += 1


@given(labels, seeds)
def test_the_seed_decides(labels: np.ndarray, seed: int) -> None:
    assert order.balanced(labels, seed) == order.balanced(labels, seed)
    assert sorted(order.shuffled(len(labels), seed)) == list(range(len(labels)))


def test_classes_are_equally_likely_and_so_are_the_pictures_of_one() -> None:
    labels = np.array([0] * 900 + [2] * 90 + [1] * 10)
    classes, pictures = Counter[int](), Counter[int]()
    for seed in range(60):
        positions = [draw % len(labels) for draw in order.balanced(labels, seed)]
        classes.update(labels[positions].tolist())
        pictures.update(positions)
    assert all(0.32 < classes[label] / 60_000 < 0.35 for label in range(3))
    assert {label for label in pictures if pictures[label]} == set(range(1000))
    assert all(1800 < pictures[position] < 2200 for position in range(990, 1000))


def test_another_seed_is_another_order() -> None:
    labels = np.array([0, 1] * 20)
    assert order.balanced(labels, 1) != order.balanced(labels, 2)
