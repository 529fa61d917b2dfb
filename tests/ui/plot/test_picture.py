"""Plots as they read on the screen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ftui.widgets.plot import Look, Marker, Series, Window, render_text
from ftui.widgets.plot.look import Shown
from ftui.widgets.plot.picture import draw
from ftui.widgets.plot.smooth import smooth
from tests.ui.plot.curves import MARKERS, STEPS, train, val

ZOOMED = Look("quadrant", cursor=80.0, window=Window(50.0, 100.0))
BOTH_SIGNS = np.linspace(-1, 1, 100)
WITH_GAP = np.where((STEPS > 40) & (STEPS < 60), np.nan, STEPS)


def line(name: str, y: np.ndarray) -> Series:
    return Series(name, STEPS, y, "primary")


BRAILLE = """\
loss  ━ train  ● val
step 100  train 0.5  val 1
  2.0┤⠉⠒⠤⢄⣀┈┈┈┈┈●⠒⠤⣀┈┈▾┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈▾┈┈┈┈┈┈┈┈┈┈
     │     ⠉⠑⠢⠤⣀    ⠉⠒⠤⣀               ┊
  1.5┤┈┈┈┈┈┈┈┈┈┈⠉⠙⠒⠤⣄⡀┊┈⠉⠒●⢄⣀⡀┈┈┈┈┈┈┈┈┈┊┈┈┈┈┈┈┈┈┈┈
     │               ⠈⠙⠒⠢⢄⣀  ⠈⠉⠒⠒⠤⢄⣀⡀  ┊
     │                ┊    ⠉⠓⠢⠤⣀⡀   ⠈●⠑⠒⠢⠤⢄⣀⡀
  1.0┤┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┊┈┈┈┈┈┈┈┈┈⠈⠑⠒⠤⣀⣀┈┊┈┈┈┈⠈⠉⠑●┈┈
     │                ┊               ⠉⠒⠢⢄⣀
  0.5┤┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┊┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┊┈┈┈⠉⠑⠲⠤⣀┈┈
     └────────────────────┬────────────────────┬──
                         50                   100"""


def test_a_line_and_points_with_what_was_changed() -> None:
    shown = render_text([train(), val()], 50, 12, markers=MARKERS, title="loss")
    assert shown == BRAILLE


ASCII = """\
loss  - train  o val                    smooth 0.6
step 100  train 0.5 ~0.5227  val 1
  2.0+'':...    o'.   v                v
     |     '':...  '''.                !
  1.5+          ''':..!'''o.           !
     |                '''...''''....   !
     |                !    ''':..   'o''.....
  1.0+                !          '':...!     ''o
     |                !               ''':..
  0.5+                !                !    '''.
     +--------------------+--------------------+--
                         50                   100"""


def test_ascii_has_no_ghosts_of_what_was_smoothed() -> None:
    shown = render_text(
        [train(), val()], 50, 12, markers=MARKERS, title="loss", look=Look("ascii", smoothing=0.6)
    )
    assert shown == ASCII


QUADRANT = """\
loss  ━ train  ● val                        zoomed
step 80  train 0.803  val 1.25 @75  ▾ thaw layer4
  1.5┤●▀▀▄▄▄▄▄▖┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈▾┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈
     │        ▝▀▀▀▀▀▄▄▄▄▄▖      │
     │▀▀▀▚▄▄▄▖           ▝▀▀●▀▀▄▄▄▄▄▖
     │       ▝▀▀▀▚▄▄▖           │   ▝▀▀▀▀▚▄▄▄▄▄
  1.0┤┈┈┈┈┈┈┈┈┈┈┈┈┈┈▝▀▀▀▀▄▄▄▖┈┈┈│┈┈┈┈┈┈┈┈┈┈┈┈┈┈▀▀●
     │                      ▝▀▀▀▀▄▄▄
     │                          │   ▀▀▀▀▄▄▄▄
  0.5┤┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈│┈┈┈┈┈┈┈┈┈┈┈▀▀▀▀▄▄
     └────────┬─────────────────▴────────────────┬
             60                80              100"""


def test_quadrants_zoomed_in_with_a_cursor_near_a_change() -> None:
    shown = render_text([train(), val()], 50, 12, markers=MARKERS, title="loss", look=ZOOMED)
    assert shown == QUADRANT


SMALL = """\
loss  ━ train  ● val
  2┤⠙⠒⠦●⣑⠤⢄┈┈┈┈┈┈┈┈┈
  1┤┈┈┈┈┈⠉⠓●⠵⣒⡢●⠤⢄⣀●
   │          ⠉⠙⠒⠤⣄⡀
          50     100"""


def test_twenty_by_five() -> None:
    shown = render_text([train(), val()], 20, 5, title="loss")
    assert shown == SMALL


LOG = """\
loss  ━ train  ● val           50 values ≤ 0 not shown · log
step 100  train 1  val 1
     │            ●⠤⠤⠤⠤⠤⠤⣀⣀⣀⣀⣀⣀●⣀⣀⣀⣀⣀⡀
    1┤┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈⠈⠉⠉⠉⠉⠉⠉●⣉⣉⡩⠭⠭⠭⠶⠖⠒⠒⠒⠒●┈┈
     │                              ⢀⡠⠤⠔⠒⠊⠉⠉
  0.1┤┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈⢀⠔⠊⠁┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈
     │                          ⡔⠁
 0.01┤┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈⢰⠁┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈
                              50                        100"""


def test_a_log_axis_says_what_it_cannot_show() -> None:
    shown = render_text([train(BOTH_SIGNS), val()], 60, 9, title="loss", look=Look(log_y=True))
    assert shown == LOG


DECADES = """\
━ train                              log
step 100  train 0.0001
     │⠙⠲⢤⣀
    1┤┈┈┈┈⠉⠒⠤⣀┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈
     │       ⠈⠉⠒⠤⣀
     │            ⠉⠒⠦⣄⡀
 0.01┤┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈⠉⠓⠤⢄⡀┈┈┈┈┈┈┈┈┈┈┈┈┈
     │                    ⠈⠑⠦⣄⡀
     │                        ⠈⠑⠢⢄⡀
 1e-4┤┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈⠈⠙⠲⢄⡀┈
     └────────────────┬───────────────┬─
                     50              100"""


def test_decades() -> None:
    shown = render_text([train(np.geomspace(10, 1e-4, 100))], 40, 12, look=Look(log_y=True))
    assert shown == DECADES


TWO_LINES = """\
━ top-1  ◇ top-5
step 100  top-1 100  top-5 120
     │                                           ⢀⣀⣀⣀⠤⠤⠔⠒⠂
  100┤┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈⣀⣀⡠⠤⠤⠔⠒◇⠉⠉⣁⣀⣀⠤⠤⠤⠒⠒⠂┈┈
     │                     ⢀⣀⣀◇⠤⠤⠔⠒⠒⠉⠉⣉⣀⡠⠤⠤⠔⠒⠒⠉⠉⠉
     │          ⢀⣀⣀⡠⠤⠤⠒⠒⠒⠉⢉⣁⣀⡠⠤⠤⠒⠒⠒⠊⠉⠉
     │⣀⣀⠤⠤⠔⠒⠒⠊◇⠉⣁⣀⡠⠤⠤⠒⠒⠒⠉⠉⠁
    0┤⣀⠤⠤⠤⠒⠒⠊⠉⠉⠉┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈
                              50                        100"""


def test_a_second_line_carries_its_sign() -> None:
    shown = render_text([line("top-1", STEPS), line("top-5", STEPS + 20)], 60, 9)
    assert shown == TWO_LINES


GAP = """\
━ train
step 100  train 100
  100┤┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈⣀⣠⠤⠒⠋⠁┈
     │                     ⢀⣀⠤⠔⠒⠉
     │                   ⠒⠊⠉
   50┤┈┈┈┈┈┈┈┈┈┈⢀⣠⠤┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈
     │     ⣀⡤⠔⠒⠉⠁
    0┤⣠⠤⠒⠋⠉┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈
                     50              100"""


def test_a_gap_is_not_bridged() -> None:
    shown = render_text([train(WITH_GAP)], 40, 9)
    assert shown == GAP


ONE_POINT = """\
━ train
step 7  train 3
   │
3.2┤┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈
   │
3.0┤┈┈┈┈┈┈┈┈┈┈┈┈┈━┈┈┈┈┈┈┈┈┈┈┈┈
2.8┤┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈
   │
    6            7           8"""


def test_one_point() -> None:
    shown = render_text([Series("train", np.array([7.0]), np.array([3.0]), "primary")], 30, 9)
    assert shown == ONE_POINT


CONSTANT = """\
━ train
step 100  train 0.25
     │
 0.26┤┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈
     │
     │⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠁
 0.24┤┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈
     │
                     50              100"""


def test_a_constant() -> None:
    shown = render_text([train(np.full(100, 0.25))], 40, 9)
    assert shown == CONSTANT


@pytest.mark.parametrize(
    ("series", "look", "words"),
    [
        ([], Look(), "no steps yet"),
        ([], Look(cursor=3.0, log_y=True), "no steps yet"),
        ([Series("train", np.empty(0), np.empty(0), "primary")], Look(), "no steps yet"),
        ([train(np.full(100, np.nan))], Look(smoothing=0.9), "no values in view"),
        ([train(-STEPS)], Look(log_y=True), "no values above 0 in view"),
        ([train(-STEPS)], Look(log_y=True), "100 values ≤ 0 not shown"),
    ],
)
def test_words_stand_where_nothing_can_be_drawn(
    series: list[Series], look: Look, words: str
) -> None:
    assert words in render_text(series, 50, 9, title="loss", look=look)


def test_the_readout_tells_raw_and_smoothed_values_and_the_step_of_others() -> None:
    look = Look(smoothing=0.6, cursor=40.0)
    text = render_text([train(STEPS), val()], 60, 12, markers=MARKERS, look=look).splitlines()[1]
    assert text == "step 40  train 40 ~38.5  val 1.5 @50  ▾ lr 0.001"


def test_the_readout_tells_all_that_was_changed_at_a_step() -> None:
    markers = [Marker(40.0, "lr 0.001"), Marker(40.0, "thaw layer4"), Marker(90.0, "stop")]
    look = Look(cursor=40.0)
    text = render_text([train(STEPS)], 60, 12, markers=markers, look=look).splitlines()[1]
    assert text == "step 40  train 40  ▾ lr 0.001, thaw layer4"


def test_where_it_is_low_the_readout_stands_on_the_title() -> None:
    series = [train(), val()]
    assert render_text(series, 60, 6).startswith("━ train")
    assert render_text(series, 60, 6, look=Look(cursor=100.0)).startswith("step 100  train 0.5")


def test_a_spike_is_seen_however_many_points_there_are() -> None:
    y = np.ones(200_000)
    y[123_456] = 50.0
    series = Series("train", np.arange(200_000.0), y, "primary")
    assert any("⡇" in row or "⢸" in row for row in render_text([series], 60, 20).splitlines()[3:16])


def test_names_from_outside_are_plain_text() -> None:
    series = Series("a\x1b[31mb\nc", STEPS, STEPS, "primary")
    marker = Marker(50.0, "[bold]x\x07")
    text = render_text([series], 60, 9, markers=[marker], look=Look(cursor=50.0))
    assert "ab c" in text
    assert "[bold]x" in text
    assert "\x1b" not in text


def test_room_for_steps_to_come_aligns_plots() -> None:
    shown = Shown([val()], steps=(1.0, 200.0))
    text = "".join(s.text for s in draw(shown, Look(), 60, 9, lambda s: s.y).rows[-1])
    assert text.split() == ["50", "100", "150", "200"]


VALUES = st.floats(-1e9, 1e9) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1e-30])


@given(
    lines=st.lists(
        st.tuples(st.lists(VALUES, max_size=20), st.booleans(), st.integers(0, 50)), max_size=3
    ),
    marks=st.lists(st.floats(-50, 100), max_size=3),
    look=st.builds(
        Look,
        mode=st.sampled_from(["braille", "quadrant", "ascii"]),
        log_y=st.booleans(),
        smoothing=st.sampled_from([0.0, 0.9]),
        window=st.none()
        | st.builds(lambda a, b: Window(a, a + b), st.floats(-9, 60), st.floats(1, 99)),
        cursor=st.none() | st.floats(-10, 100),
    ),
    width=st.integers(0, 70),
    height=st.integers(0, 20),
)
def test_any_plot_fills_exactly_its_size(
    lines: list[tuple[list[float], bool, int]],
    marks: list[float],
    look: Look,
    width: int,
    height: int,
) -> None:
    series = [
        Series(
            f"s{i}", np.arange(len(y)) + float(start), np.array(y, np.float64), "primary", points
        )
        for i, (y, points, start) in enumerate(lines)
    ]
    shown = Shown(series, [Marker(x, "changed") for x in marks], "loss")
    rows = draw(shown, look, width, height, lambda s: smooth(s.y, look.smoothing)).rows
    widths = [sum(cell_len(span.text) for span in row) for row in rows]
    assert widths == [width] * (height if width else 0)
    if look.mode == "ascii":
        assert all(span.text.isascii() for row in rows for span in row)


def parent(end: float = 100.0) -> Series:
    """Another run, which never got better."""
    steps = np.arange(1.0, end + 1)
    return Series("parent train", steps, np.full(len(steps), 2.0), "foreground", dashed=True)


def test_another_run_is_dashed_and_named_and_its_newest_step_is_not_the_read_out_s() -> None:
    half = Series("train", STEPS[:50], np.linspace(2.0, 0.5, 50), "primary")
    picture = draw(Shown([half, parent()], title="loss"), Look(), 60, 12, lambda s: s.y)
    lines = ["".join(span.text for span in row) for row in picture.rows]
    assert lines[0].startswith("loss  ━ train  ╍ parent train")
    assert lines[1].startswith("step 50  train 0.5  parent train 2")
    top = lines[2][6:].replace("┈", " ").replace("▾", " ")
    parts = top.split()
    assert len(parts) > 5  # pieces with gaps between them
    assert all(len(part) <= 3 for part in parts[1:])
    ours = [span for row in picture.rows[2:] for span in row if span.part == "series-primary"]
    assert ours


def test_our_own_curve_covers_another_run_where_they_are_the_same() -> None:
    same = Series("train", STEPS, np.full(100, 2.0), "primary")
    for series in ([same, parent()], [parent(), same]):
        picture = draw(Shown(series), Look(), 60, 12, lambda s: s.y)
        parts = {span.part for row in picture.rows[2:] for span in row}
        assert "series-primary" in parts
        assert "series-foreground" not in parts


def test_ascii_tells_another_run_by_its_dashes_and_by_its_sign() -> None:
    shown = render_text([train(), parent()], 60, 12, title="loss", look=Look("ascii"))
    assert shown.startswith("loss  - train  = parent train")
