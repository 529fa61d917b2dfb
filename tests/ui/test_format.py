"""Figures in few characters."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.contract.speed import SpeedMeasured, Timed
from engine.runs import store
from ftui import format as f
from tests.ui.scripted import ScriptedRun


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


def test_what_was_measured() -> None:
    ways = [Timed("fp32", False, 2, 40.0), Timed("fp32", False, 1, 20.0)]
    assert f.speed(SpeedMeasured(ways, 1, 8)) == (
        "measured: fp32, 1 thread 2.00 times as fast as fp32, 2 threads (40 ms a pass of 8 samples)"
    )
    ways = [Timed("fp32", False, 2, 40.0), Timed("fp32", True, 2, 50.0)]
    assert f.speed(SpeedMeasured(ways, 0, 1)) == (
        "measured: fp32 stays (40 ms a pass of 1 sample); fp32, channels last 0.80 times as fast"
    )


def test_the_best_of_a_run_is_that_of_its_best_model(tmp_path: Path) -> None:
    run = ScriptedRun(tmp_path / "pets")
    run.start()
    for loss, top1 in ((0.5, 0.9), (0.4, 0.7), (0.6, 0.8)):
        run.step += 48
        run.tell(replace(run.evaluated(1, loss), figures={"top1": top1}))
        run.save(best=loss == 0.4)
    [told] = store.summaries(tmp_path)
    assert f.best_main(told) == "top-1 70.0 %"
    assert told.best_model["val_loss"] == 0.4
