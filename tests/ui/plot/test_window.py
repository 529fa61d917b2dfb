"""What is in view."""

from hypothesis import given
from hypothesis import strategies as st

from ftui.widgets.plot.window import Window, pan, reveal, whole, zoom

WINDOWS = st.builds(lambda a, b: Window(a, a + b), st.floats(0, 500), st.floats(5, 500))
EVERY = Window(0.0, 1000.0)


@given(st.integers(-(10**6), 10**6), st.integers(0, 10**7))
def test_the_whole_holds_all_and_little_more(first: int, span: int) -> None:
    every = whole(first, first + span)
    assert every.holds(first)
    assert every.holds(first + span)
    assert every.span <= max(2.0, span * (1 + 1 / 8))


def test_the_whole_seldom_moves() -> None:
    ends = {whole(1.0, float(last)).end for last in range(50_000, 60_000)}
    assert len(ends) <= 6


@given(WINDOWS, st.floats(0, 1))
def test_zooming_keeps_what_it_is_around_in_place(window: Window, share: float) -> None:
    around = window.start + share * window.span
    closer = zoom(window, EVERY, around, 0.5)
    assert closer is not None
    assert (
        closer.holds(around) or abs(closer.start - around) < 1e-6 or abs(closer.end - around) < 1e-6
    )
    assert closer.start >= EVERY.start
    assert closer.end <= EVERY.end


def test_zooming_out_far_shows_all() -> None:
    assert zoom(Window(10.0, 600.0), EVERY, 300.0, 2.0) is None


def test_zooming_in_ends_at_a_few_steps() -> None:
    assert zoom(Window(10.0, 14.0), EVERY, 12.0, 0.5) == Window(10.0, 14.0)


def test_panning_stops_at_the_ends() -> None:
    assert pan(Window(100.0, 200.0), EVERY, 0.25) == Window(125.0, 225.0)
    assert pan(Window(990.0, 1000.0), EVERY, 0.25) == Window(990.0, 1000.0)
    assert pan(Window(1.0, 201.0), EVERY, -1.0) == Window(0.0, 200.0)


def test_revealing_moves_only_where_it_must() -> None:
    assert reveal(Window(100.0, 200.0), EVERY, 150.0) == Window(100.0, 200.0)
    assert reveal(Window(100.0, 200.0), EVERY, 500.0) == Window(450.0, 550.0)
