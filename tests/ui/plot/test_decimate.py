"""Nothing that a pixel shows may be lost."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ftui.widgets.plot.decimate import Trace, m4
from ftui.widgets.plot.line import connect

VALUES = st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0])


def by_hand(
    x: np.ndarray, y: np.ndarray, start: float, end: float, columns: int, positive: bool
) -> dict[int, tuple[float, float, float, float]]:
    """The same, a point at a time."""
    found: dict[int, list[float]] = {}
    for step, value in zip(x.tolist(), y.tolist(), strict=True):
        column = int(np.floor((step - start) / (end - start) * (columns - 1) + 0.5))
        if 0 <= column < columns:
            gap = not np.isfinite(value) or (positive and value <= 0)
            found.setdefault(column, []).append(np.nan if gap else value)
    results = {}
    for column, values in found.items():
        there = [v for v in values if not np.isnan(v)]
        low, high = (min(there), max(there)) if there else (np.nan, np.nan)
        results[column] = (values[0], low, high, values[-1])
    return results


@given(
    y=st.lists(VALUES, max_size=80),
    gaps=st.lists(st.integers(1, 5), min_size=80, max_size=80),
    view=st.tuples(st.integers(-20, 100), st.sampled_from([4, 16, 64, 256])),
    columns=st.sampled_from([2, 3, 5, 9, 17]),
    positive=st.booleans(),
)
def test_each_column_keeps_first_lowest_highest_and_last(
    y: list[float], gaps: list[int], view: tuple[int, int], columns: int, positive: bool
) -> None:
    x, values = np.cumsum(gaps[: len(y)]).astype(np.float64), np.array(y, dtype=np.float64)
    start, end = float(view[0]), float(view[0] + view[1])  # exact in binary, so no rounding
    trace = m4(x, values, start, end, columns, positive=positive)
    inside = trace.within(columns)
    kept = {int(row[0]): row[1:] for row in np.stack(trace, axis=1)[inside].tolist()}
    expected = by_hand(x, values, start, end, columns, positive)
    assert kept.keys() == expected.keys()
    for column, four in expected.items():
        assert np.array_equal(kept[column], four, equal_nan=True)


def test_one_spike_in_a_million_points_is_seen() -> None:
    y = np.zeros(1_000_000)
    y[654_321] = 9.0
    trace = m4(np.arange(1_000_000.0), y, 0.0, 999_999.0, 240)
    assert trace.high.max() == 9.0


def test_the_points_beside_the_view_are_kept_for_the_line_to_them() -> None:
    trace = m4(np.array([0.0, 10.0, 20.0, 30.0]), np.arange(4.0), 9.0, 11.0, 3)
    assert trace.column.tolist() == [-9.0, 1.0, 11.0]
    assert trace.first.tolist() == [0.0, 1.0, 2.0]


def test_no_points() -> None:
    assert [len(part) for part in m4(np.empty(0), np.empty(0), 0.0, 1.0, 9)] == [0] * 5


def trace_of(column: list[float], value: list[float]) -> Trace:
    values = np.array(value)
    return Trace(np.array(column), values, values, values, values)


def test_a_line_is_thin_and_without_holes() -> None:
    line = connect(trace_of([0.0, 4.0], [0.0, 8.0]), 5)
    assert line.top.tolist() == [0, 2, 4, 6, 8]
    assert line.bottom.tolist() == [1, 3, 5, 7, 8]


@given(st.lists(st.integers(0, 40), min_size=2, max_size=30))
def test_neighbouring_columns_touch_and_do_not_overlap_on_the_way(rows: list[int]) -> None:
    line = connect(
        trace_of([float(c) for c in range(len(rows))], [float(r) for r in rows]), len(rows)
    )
    for c in range(len(rows) - 1):
        assert line.top[c + 1] - line.bottom[c] <= 1
        assert line.top[c] - line.bottom[c + 1] <= 1
    assert (line.top <= rows).all()
    assert (line.bottom >= rows).all()


def test_a_gap_breaks_the_line_and_a_lone_point_stays() -> None:
    line = connect(trace_of([0.0, 2.0, 4.0, 6.0], [1.0, np.nan, 5.0, np.nan]), 7)
    assert [c for c in range(7) if not np.isnan(line.top[c])] == [0, 4]


def test_a_line_comes_from_a_point_out_of_view() -> None:
    line = connect(trace_of([-2.5, 7.5], [0.0, 10.0]), 3)
    assert not np.isnan(line.top).any()
