"""Figures in few characters."""

import pytest

from ftui import format as f


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (0.0, "0"),
        (0.51234, "0.5123"),
        (12.345, "12.35"),
        (3.2e-5, "3.2e-05"),
        (-2.5, "-2.5"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert f.number(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0.0 %"), (0.77, "77.0 %"), (7 / 18, "38.9 %"), (0.9999, "99.9 %"), (1, "100.0 %")],
)
def test_shares_are_rounded_but_never_to_all(share: float, text: str) -> None:
    assert f.percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0s"), (48.2, "48s"), (130, "2m10s"), (11_100, "3h05m"), (187_200, "2d04h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert f.duration(seconds) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0"),
        (950, "950"),
        (999.9, "1.0k"),
        (1234, "1.2k"),
        (11_689_512, "11.7M"),
        (6.7e9, "6.7B"),
    ],
)
def test_short_counts(amount: float, text: str) -> None:
    assert f.short(amount) == text


def test_counts_and_sizes() -> None:
    assert [f.count(n, "step") for n in (0, 1, 1200)] == ["0 steps", "1 step", "1,200 steps"]
    assert [f.size(n) for n in (512, 17 * 2**20, 3 * 2**29)] == ["512 B", "17.0 MiB", "1.5 GiB"]
