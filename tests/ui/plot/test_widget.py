"""Keys, mouse, and how little is drawn again."""

import numpy as np
import pytest
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.pilot import Pilot

from ftui.widgets.plot import STYLE_KEYS, Marker, Plot, Series
from tests.ui.plot.curves import MARKERS, STEPS, train, val

SIZE = (60, 14)


class WatchedPlot(Plot):
    """Remembers which rows it asked to be drawn again; None: all."""

    asked: list[int | None]

    def refresh(self, *regions: Region, **options: bool) -> "WatchedPlot":  # type: ignore[override]
        if not hasattr(self, "asked"):
            self.asked = []
        self.asked += [region.y for region in regions] or [None]
        return super().refresh(*regions, **options)


class PlotApp(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.plot = WatchedPlot()

    def compose(self) -> ComposeResult:
        yield self.plot

    def on_mount(self) -> None:
        self.plot.show([train(), val()], MARKERS, "loss")
        self.plot.focus()


def screen(app: App[None]) -> str:
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line).rstrip() for line in lines)


async def press(pilot: Pilot[None], *keys: str) -> str:
    """The read-out after these keys."""
    await pilot.press(*keys)
    return screen(pilot.app).splitlines()[1]


async def test_what_is_drawn_is_what_the_screen_shows() -> None:
    app = PlotApp()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        assert screen(app) == app.plot.text
        assert app.plot.text.startswith("loss  ━ train  ● val\nstep 100  train 0.5  val 1\n")


async def test_showing_the_same_again_draws_nothing() -> None:
    app = PlotApp()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        app.plot.asked.clear()
        app.plot.show([train(), val()], MARKERS, "loss")
        await pilot.pause()
        assert app.plot.asked == []


async def test_one_more_step_draws_few_rows() -> None:
    app = PlotApp()
    y = np.linspace(2.0, 0.5, 1000)
    x = np.arange(1.0, 1001.0)
    async with app.run_test(size=(60, 24)) as pilot:
        app.plot.show([Series("train", x[:905], y[:905], "primary")])
        await pilot.pause()
        app.plot.asked.clear()
        app.plot.show([Series("train", x[:912], y[:912], "primary")])
        await pilot.pause()
        assert 1 in app.plot.asked, "the read-out"
        assert 1 <= len(app.plot.asked) <= 4
        assert None not in app.plot.asked
        assert screen(app) == app.plot.text


async def test_the_log_axis_is_switched() -> None:
    app = PlotApp()
    async with app.run_test(size=SIZE) as pilot:
        linear = screen(app)
        await pilot.press("l")
        assert app.plot.log_y
        assert screen(app).splitlines()[0].endswith(" log")
        await pilot.press("l")
        assert screen(app) == linear


async def test_smoothing_goes_in_steps_and_stops() -> None:
    app = PlotApp()
    async with app.run_test(size=SIZE) as pilot:
        assert "~" in await press(pilot, "right_square_bracket")
        assert app.plot.smoothing == 0.3
        assert screen(app).splitlines()[0].endswith(" smooth 0.3")
        await press(pilot, *["right_square_bracket"] * 20)
        assert app.plot.smoothing == 0.99
        assert "~" not in await press(pilot, *["left_square_bracket"] * 20)
        assert app.plot.smoothing == 0.0
        app.plot.smoothing = 7.0
        assert app.plot.smoothing == 0.99


async def test_the_cursor_reads_values_out() -> None:
    app = PlotApp()
    async with app.run_test(size=SIZE) as pilot:
        for keys, readout in [
            ("c", "step 100  train 0.5  val 1"),
            ("left", "step 98  train 0.5303  val 1 @100"),
            ("shift+left", "step 79  train 0.8182  val 1.25 @75  ▾ thaw layer4"),
            ("right right", "step 83  train 0.7576  val 1.25 @75"),
            ("shift+right shift+right", "step 100  train 0.5  val 1"),
            ("home", "step 1  train 2  val 2 @25"),
            ("left", "step 1  train 2  val 2 @25"),
            ("end", "step 100  train 0.5  val 1"),
            ("right", "step 100  train 0.5  val 1"),
        ]:
            assert await press(pilot, *keys.split()) == readout, keys
        assert "▴" in screen(app)
        await pilot.press("c")
        assert app.plot.cursor is None
        assert "▴" not in screen(app)


async def test_the_cursor_moves_at_least_one_point() -> None:
    app = PlotApp()
    async with app.run_test(size=SIZE) as pilot:
        app.plot.show([Series("val", STEPS[::30], STEPS[::30], "accent", points=True)])
        at = [(await press(pilot, key)).split()[1] for key in ("home", "right", "right", "left")]
        assert at == ["1", "31", "61", "31"]


@pytest.mark.parametrize("key", ["plus", "equals_sign"])
async def test_zoomed_in_it_stays_and_reset_it_follows(key: str) -> None:
    app = PlotApp()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("home", key, key)
        zoomed = app.plot.window
        assert zoomed is not None
        assert zoomed.start == 1.0
        assert zoomed.span < 30
        body = screen(app).splitlines()[2:]
        app.plot.show([more(), val()], MARKERS, "loss")
        await pilot.pause()
        assert app.plot.window == zoomed
        assert screen(app).splitlines()[2:] == body
        await pilot.press("0")
        assert app.plot.window is None
        assert "200" in screen(app).splitlines()[-1]
        await pilot.press("plus", "minus")
        assert app.plot.window is None


def more() -> Series:
    y = np.concatenate([train().y, np.zeros(100)])
    return Series("train", np.arange(1.0, 201.0), y, "primary")


@pytest.mark.parametrize("keys", [("full_stop", "comma"), ("greater_than_sign", "less_than_sign")])
async def test_panning_goes_there_and_back(keys: tuple[str, str]) -> None:
    app = PlotApp()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press(keys[0])
        assert app.plot.window is None
        await pilot.press("plus")
        before = app.plot.window
        assert before is not None
        await pilot.press(keys[0])
        after = app.plot.window
        assert after is not None
        assert after.start == pytest.approx(before.start + before.span / 4)
        await pilot.press(keys[1])
        assert app.plot.window == pytest.approx(before)


async def test_the_view_comes_along_with_the_cursor() -> None:
    app = PlotApp()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("home", "plus", "plus", "end")
        assert app.plot.window is not None
        assert app.plot.window.holds(100.0)


async def test_the_mouse_sets_the_cursor_and_zooms() -> None:
    app = PlotApp()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.click(WatchedPlot, offset=(6, 5))
        assert app.plot.cursor == 1.0
        await pilot.click(WatchedPlot, offset=(2, 5))
        assert app.plot.cursor == 1.0
        await pilot._post_mouse_events([wheel_up()], WatchedPlot, (30, 5))
        assert app.plot.window is not None


def wheel_up() -> type:
    from textual.events import MouseScrollUp

    return MouseScrollUp


async def test_another_run_gives_up_view_and_cursor() -> None:
    app = PlotApp()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("end", "plus", "plus", "plus")
        app.plot.show([Series("train", STEPS[:10], STEPS[:10], "primary")])
        assert (app.plot.window, app.plot.cursor) == (None, None)
        app.plot.show([])
        await pilot.pause()
        assert "no steps yet" in screen(app)
        await pilot.press("plus", "left", "home", "end", "c", "full_stop", "l", "0")
        assert "no steps yet" in screen(app)


async def test_it_is_drawn_again_at_another_size_and_in_another_mode() -> None:
    app = PlotApp()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.resize_terminal(30, 8)
        await pilot.pause()
        lines = screen(app).splitlines()
        assert len(lines) == 8
        assert max(map(len, lines)) <= 30
        app.plot.mode = "ascii"
        await pilot.pause()
        assert screen(app).isascii()


async def test_every_style_is_there_in_a_theme_of_16_colours_too() -> None:
    app = PlotApp()
    async with app.run_test(size=SIZE) as pilot:
        series = [Series(key, STEPS, STEPS + i, key) for i, key in enumerate(STYLE_KEYS)]
        for theme in ("textual-light", "ansi-dark"):
            app.theme = theme
            app.plot.show(series, [Marker(3.0, "x")])
            app.plot.smoothing = 0.6
            await pilot.pause()
            shown = [s.style for strip in map(app.plot.render_line, range(14)) for s in strip]
            colours = {style.color for style in shown if style}
            assert len(colours) >= len(STYLE_KEYS)


def test_each_key_has_an_id_and_says_what_it_does() -> None:
    ids = [binding.id for binding in Plot.BINDINGS]  # type: ignore[union-attr]
    assert len(set(ids)) == len(ids)
    assert all(b.tooltip and b.description for b in Plot.BINDINGS)  # type: ignore[union-attr]


async def test_the_cursor_stays_on_our_own_curve() -> None:
    app = PlotApp()
    async with app.run_test(size=SIZE) as pilot:
        half = Series("train", STEPS[:50], np.linspace(2.0, 0.5, 50), "primary")
        other = Series("parent train", STEPS, np.full(100, 2.0), "foreground", dashed=True)
        app.plot.show([half, other], [], "loss")
        assert (await press(pilot, "end")).startswith("step 50  train 0.5")
        assert (await press(pilot, *["right"] * 5)).startswith("step 50  train 0.5")
        assert "100" in screen(app).splitlines()[-1]  # all of the other one is in view
