"""The table of what may follow what."""

from typing import get_args

import pytest

from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.order import LIVE, ORDER, check_order, next_phase
from tests.engine.contract.journals import loop, prepared, resumed, started, steps


def test_the_table_holds_every_event() -> None:
    assert set(ORDER) == set(get_args(e.AnyEvent))


PAUSED: list[e.Event] = [e.RunPaused(step=0)]


@pytest.mark.parametrize(
    "journal",
    [
        [],
        [*started(), *loop()],
        [*started(), *loop()[:5], *resumed(0), *loop()],
        [*started(), *loop(), *resumed(12), *loop(12, epochs=4)],
        [*started()[:2], *resumed(0), *loop()],  # died while it prepared
        [*resumed(0), *loop()],  # died before its first word
        [*started(), *PAUSED, e.CommandApplied(step=0, command=c.Freeze("x")), *resumed(0)],
        [*started(), *PAUSED, e.RunContinued(step=0), *loop()],
        [*started(), *PAUSED, e.RunStopped(step=0, by="command")],
        [*started()[:1], e.RunFailed(step=0, error="x", by_user=True)],
        [*started()[:2], e.RunStopped(step=0, by="SIGTERM")],
        [*started()[:1], e.CommandRejected(step=0, command=c.Stop(), reason="x")],
    ],
)
def test_orders_that_are_right(journal: list[e.Event]) -> None:
    check_order(journal)


@pytest.mark.parametrize(
    "journal",
    [
        prepared(),
        [*started(), *started()],
        [started()[0], steps(1, 1)],
        [*started(), *PAUSED, steps(1, 1)],
        [*started(), *PAUSED, *PAUSED],
        [*started(), e.RunContinued(step=0)],
        [*started(), *loop(), steps(13, 13)],
        [*started(), *loop(), e.RunStopped(step=12, by="command")],
        [*started(), *loop(), e.CommandApplied(step=12, command=c.Stop())],
        [*started(), e.PreparationAdvanced(stage="x")],
        [*started(), *PAUSED, e.RunFinished(step=0)],
    ],
)
def test_orders_that_are_wrong(journal: list[e.Event]) -> None:
    with pytest.raises(AssertionError, match="allowed in"):
        check_order(journal)


def test_phases() -> None:
    phase, seen = "new", []
    for event in [*started(), *PAUSED, e.RunContinued(step=0), *loop(), *resumed(12)]:
        phase = next_phase(phase, event)  # type: ignore[arg-type]
        seen += [phase] if seen[-1:] != [phase] else []
    assert seen == ["preparing", "running", "paused", "running", "finished", "preparing", "running"]
    assert set(LIVE) == {"preparing", "running", "paused"}
