"""Columns of values by step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract.series import StepSeries


def test_values_are_put_at_their_steps() -> None:
    series = StepSeries()
    series.put(1, [1.0, None, 3.0])
    series.put(6, [6.0])
    assert len(series) == 6
    assert list(series.steps) == [1, 2, 3, 4, 5, 6]
    assert np.array_equal(series.values, [1, np.nan, 3, np.nan, np.nan, 6], equal_nan=True)


def test_what_was_cut_does_not_come_back() -> None:
    series = StepSeries()
    series.put(1, [1.0, 2.0, 3.0, 4.0])
    series.cut(2)
    assert list(series.values) == [1, 2]
    series.put(4, [9.0])
    assert np.isnan(series.values[2])
    series.cut(100)
    assert len(series) == 4


def test_values_cannot_be_written() -> None:
    series = StepSeries()
    series.put(1, [1.0])
    with pytest.raises(ValueError, match="read-only"):
        series.values[0] = 2


@given(sizes=st.lists(st.integers(1, 700), max_size=12))
def test_growing_keeps_everything(sizes: list[int]) -> None:
    series, told = StepSeries(), []
    for size in sizes:
        values = [float(len(told) + n) for n in range(size)]
        series.put(len(told) + 1, values)
        told += values
    assert list(series.values) == told


def test_a_view_is_not_moved_by_what_comes_later() -> None:
    series = StepSeries()
    series.put(1, [1.0])
    before = series.values
    series.put(2, [2.0] * 5000)
    assert list(before) == [1.0]
