"""A redraw of the plot: two series at 120x30, by number of points.

`python -m tests.benchmarks.plot_redraw` prints the best of several redraws, with all points in view
and nothing remembered but the moving average, beside a plain raster that visits every point in
Python, as plotting libraries for the terminal do.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.segment import Segment
from rich.table import Table
from textual.strip import Strip

from ftui.widgets.plot import Look, Series
from ftui.widgets.plot.look import Shown
from ftui.widgets.plot.picture import draw
from ftui.widgets.plot.smooth import Smoother

WIDTH, HEIGHT = 120, 30
POINTS = (1_000, 10_000, 100_000, 1_000_000)
DOTS = ((0, 1, 2, 6), (3, 4, 5, 7))  # the bit of each braille dot, by pixel column and row


def noisy(points: int, name: str, style: str, seed: int) -> Series:
    """A loss that falls, with noise."""
    x = np.arange(1.0, points + 1)
    noise = np.random.default_rng(seed).normal(0, 0.1, points)
    return Series(name, x, 2 * np.exp(-3 * x / points) + noise, style)


def ours(series: list[Series], look: Look) -> Callable[[], object]:
    """All that a redraw of the widget does, down to the strips."""
    smoothers = {s.name: Smoother() for s in series}

    def redraw() -> object:
        picture = draw(
            Shown(series, (), "loss"),
            look,
            WIDTH,
            HEIGHT,
            lambda s: smoothers[s.name].smooth(s.y, look.smoothing),
        )
        return [Strip([Segment(span.text) for span in row], WIDTH) for row in picture.rows]

    return redraw


def plain(series: list[Series]) -> Callable[[], object]:
    """Every point to a dot, joined to the dot before, in Python."""

    def redraw() -> object:
        low = min(float(s.y.min()) for s in series)
        high = max(float(s.y.max()) for s in series)
        cells = [[0] * WIDTH for _ in range(HEIGHT)]
        for one in series:
            last, scale = None, (2 * WIDTH - 1) / len(one.x)
            for x, y in zip(one.x.tolist(), one.y.tolist(), strict=True):
                column, row = int(x * scale), int((high - y) / (high - low) * (4 * HEIGHT - 1))
                last = row if last is None else last
                for r in range(min(row, last), max(row, last) + 1):
                    cells[r // 4][column // 2] |= 1 << DOTS[column % 2][r % 4]
                last = row
        return ["".join(chr(0x2800 + c) for c in row) for row in cells]

    return redraw


def best_ms(redraw: Callable[[], object], times: int) -> float:
    took = []
    for _ in range(times):
        start = time.perf_counter()
        redraw()
        took.append(time.perf_counter() - start)
    return 1000 * min(took)


def main() -> None:
    table = Table(
        *("points a series", "ms", "ms, smoothed", "ms, log axis", "plain raster, ms", "ratio"),
        title=f"redraw of 2 series at {WIDTH}x{HEIGHT}",
    )
    for points in POINTS:
        series = [noisy(points, "train", "primary", 0), noisy(points, "val", "accent", 1)]
        times = 9 if points < 1_000_000 else 5
        looks = Look(), Look(smoothing=0.9), Look(log_y=True)
        took = [best_ms(ours(series, look), times) for look in looks]
        slow = best_ms(plain(series), 1 if points >= 100_000 else 3)
        figures = [f"{ms:,.1f}" for ms in (*took, slow)]
        table.add_row(f"{points:,}", *figures, f"1 : {slow / took[0]:,.0f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
