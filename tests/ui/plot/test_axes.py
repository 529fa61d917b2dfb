"""Round ticks, short labels, steady ends."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftui.widgets.plot.axes import Axis, labels, value_axis


@pytest.mark.parametrize(
    ("ticks", "expected"),
    [
        ([0.0, 0.25, 0.5], ["0", "0.25", "0.50"]),
        ([0.0, 500.0, 1000.0], ["0", "500", "1000"]),
        ([0.0, 5000.0, 10000.0, 15000.0], ["0", "5k", "10k", "15k"]),
        ([10500.0, 11000.0], ["10.5k", "11.0k"]),
        ([1e6, 2e7], ["1M", "20M"]),
        ([1e-5, 1.5e-5, 2e-5], ["1e-5", "1.5e-5", "2e-5"]),
        ([0.0, 0.001], ["0", "0.001"]),
        ([-2.0, 0.0, 2.0], ["-2", "0", "2"]),
        ([0.69314, 0.69315], ["0.69314", "0.69315"]),
        ([], []),
    ],
)
def test_labels_are_short_and_have_the_same_decimals(
    ticks: list[float], expected: list[str]
) -> None:
    assert labels(ticks) == expected


def test_labels_of_a_log_axis() -> None:
    assert labels([1e-4, 3e-3, 0.01, 0.5, 1.0, 20.0, 1e3, 2e6], log=True) == [
        *("1e-4", "3e-3", "0.01", "0.5", "1", "20", "1k", "2M")
    ]


@pytest.mark.parametrize(
    ("axis", "most", "expected"),
    [
        (Axis(0.0, 1.0), 5, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (Axis(0.13, 2.9), 3, [1.0, 2.0]),
        (Axis(0.9, 1.05), 1, [0.9, 1.0]),
        (Axis(-3.0, 0.0, True), 4, [1e-3, 1e-2, 1e-1, 1.0]),
        (Axis(-12.0, 0.0, True), 3, [1e-12, 1e-8, 1e-4, 1.0]),
        (Axis(math.log10(0.2), 0.4, True), 6, [0.2, 0.5, 1.0, 2.0]),
        (Axis(math.log10(1.1), math.log10(1.9), True), 3, [1.2, 1.4, 1.6, 1.8]),
    ],
)
def test_ticks_are_round(axis: Axis, most: int, expected: list[float]) -> None:
    found = axis.ticks(most)
    assert set(expected) <= {float(f"{t:.9g}") for t in found}
    assert len(found) <= len(expected) + 4


def test_steps_are_whole() -> None:
    assert Axis(1.0, 3.0).ticks(10, 1.0) == [1.0, 2.0, 3.0]


@given(
    low=st.floats(-1e9, 1e9),
    span=st.floats(0, 1e9),
    most=st.integers(1, 12),
    log=st.booleans(),
)
def test_an_axis_holds_its_values_and_has_ticks(
    low: float, span: float, most: int, log: bool
) -> None:
    low = abs(low) + 1e-9 if log else low
    axis = value_axis(low, low + span, most, log)
    ends = axis.position(np.array([low, low + span]))
    assert axis.low < axis.high
    assert -1e-6 <= ends[0] <= ends[1] <= 1 + 1e-6
    ticks = axis.ticks(most)
    assert 1 <= len(ticks) <= 4 * most + 8
    assert len(set(labels(ticks, log))) == len(ticks)


def test_a_little_more_room_leaves_the_axis_alone() -> None:
    assert value_axis(0.111, 2.31, 5, False) == value_axis(0.112, 2.30, 5, False)
