"""The moving average against the loop that defines it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftui.widgets.plot.smooth import Smoother, smooth

SERIES = st.lists(st.floats(-1e3, 1e3) | st.just(np.nan), max_size=300)
WEIGHT = st.sampled_from([0.0, 0.3, 0.9, 0.99])


def by_loop(values: list[float], weight: float) -> list[float]:
    average, count, result = 0.0, 0, []
    for value in values:
        if not np.isfinite(value):
            result.append(np.nan)
            continue
        count += 1
        average = weight * average + (1 - weight) * value
        result.append(average / (1 - weight**count))
    return result


@given(values=SERIES, weight=WEIGHT)
def test_it_is_the_debiased_average(values: list[float], weight: float) -> None:
    smoothed = smooth(np.array(values), weight)
    np.testing.assert_allclose(smoothed, by_loop(values, weight), rtol=1e-9, atol=1e-9)


@given(values=SERIES, cuts=st.lists(st.integers(0, 300), max_size=4), weight=WEIGHT)
def test_growing_gives_what_all_at_once_gives(
    values: list[float], cuts: list[int], weight: float
) -> None:
    smoother, whole = Smoother(), np.array(values)
    for cut in sorted(cuts):
        smoother.smooth(whole[:cut], weight)
    np.testing.assert_allclose(
        smoother.smooth(whole, weight), smooth(whole, weight), rtol=1e-9, atol=1e-9
    )


def test_what_was_done_again_is_smoothed_again() -> None:
    smoother, values = Smoother(), np.arange(50.0)
    smoother.smooth(values, 0.9)
    values[30:] = 0.0  # in place, as a resumed run does
    np.testing.assert_allclose(smoother.smooth(values, 0.9), smooth(values, 0.9))
    np.testing.assert_allclose(smoother.smooth(values[:20], 0.9), smooth(values[:20], 0.9))


def test_only_new_points_are_smoothed(monkeypatch: pytest.MonkeyPatch) -> None:
    smoother, values, sizes = Smoother(), np.arange(1000.0), []
    extend = smoother._extend
    monkeypatch.setattr(smoother, "_extend", lambda v: sizes.append(len(v)) or extend(v))
    for end in (900, 900, 1000):
        smoother.smooth(values[:end], 0.9)
    assert sizes == [900, 100]


def test_a_constant_stays_itself() -> None:
    np.testing.assert_allclose(smooth(np.full(5000, 7.0), 0.99), 7.0)
