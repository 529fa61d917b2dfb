"""The split: disjoint, complete, the same every time, with some of each class on either side."""

from hypothesis import given
from hypothesis import strategies as st

from engine.data.split import split

NAMES = st.sets(st.text(min_size=1, max_size=12), max_size=60)
FRACTIONS = st.floats(0.001, 0.999)
SEEDS = st.integers(0, 2**31 - 1)


@given(NAMES, FRACTIONS, SEEDS, st.randoms())
def test_properties(names: set[str], fraction: float, seed: int, random: object) -> None:
    train, val = split(names, fraction, seed)
    assert set(train) | set(val) == names
    assert not set(train) & set(val)
    assert (train, val) == (sorted(train), sorted(val))
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert split(shuffled, fraction, seed) == (train, val)
    if len(names) >= 2:
        assert train
        assert abs(len(val) - len(names) * fraction) <= 1
        assert val
    else:
        assert not val


@given(st.sets(st.text(min_size=1, max_size=12), min_size=20, max_size=40), SEEDS)
def test_a_new_picture_moves_at_most_one_other(names: set[str], seed: int) -> None:
    _, before = split(names, 0.3, seed)
    _, after = split(names | {"a picture that came later"}, 0.3, seed)
    assert len(set(before) - set(after)) <= 1


def test_the_seed_decides() -> None:
    names = [f"cat/{i}.jpg" for i in range(50)]
    assert split(names, 0.2, 0) != split(names, 0.2, 1)


def test_a_split_stays_what_it_was() -> None:
    """A change here changes the validation data of every run that was made before."""
    _, val = split([f"cat/{i}.jpg" for i in range(10)], 0.3, 0)
    assert val == ["cat/1.jpg", "cat/5.jpg", "cat/6.jpg"]


def test_names_that_utf8_cannot_say() -> None:
    train, val = split(["\udcff.jpg", "b.jpg"], 0.5, 0)
    assert sorted(train + val) == ["b.jpg", "\udcff.jpg"]
