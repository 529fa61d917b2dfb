"""What came of a race, as a table and for JSON."""

import statistics
from collections.abc import Callable, Sequence

from msgspec import Struct
from rich.table import Table

from tests.benchmarks.race.asked import Job, Seen
from tests.benchmarks.race.contenders import BARE

Rounds = dict[str, list[Seen]]
"""Of each contender what was seen in each round."""


class Figure(Struct):
    """The median of a quantity over the rounds, and how often the bare loop's it fits in there.

    Ratios are of two runs of one round; 2 is twice as fast as the bare loop, or half its memory.
    None where the bare loop never came to it.
    """

    median: float
    ratios: list[float] | None
    """In the middle, the lowest, and the highest."""

    def words(self, digits: int) -> str:
        """The median, the ratio, and its spread."""
        median = f"{self.median:.{digits}f}"
        if self.ratios is None:
            return median
        middle, lowest, highest = self.ratios
        spread = f" ({_times(lowest)} to {_times(highest)})"
        same = f"{lowest:.3g}" == f"{highest:.3g}"
        return f"{median}\n{_times(middle)}x{'' if same else spread}"


def _times(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"


Quantity = Callable[[Seen], float | None]


def quantities(job: Job, target: float) -> dict[str, tuple[Quantity, int]]:
    """Titles of columns, what is in them, and with how many digits behind the point."""
    columns: dict[str, tuple[Quantity, int]] = {
        "first step, s": (lambda seen: seen.first_step, 1),
        "epoch after the first, s": (lambda seen: statistics.median(seen.epochs[1:]), 4),
        f"{job.epochs} epochs trained, s": (lambda seen: sum(seen.epochs), 2),
        "start to end, s": (lambda seen: seen.wall, 1),
    }
    if job.evaluates:
        columns[f"to {target:.0%}, s"] = (lambda seen: until(seen, target), 1)
    columns["peak, MiB"] = (lambda seen: seen.peak / 2**20, 0)
    return columns


def until(seen: Seen, target: float) -> float | None:
    """Seconds from the start of the process until an evaluation came to `target`."""
    return next((when for when, accuracy in seen.evaluations if accuracy >= target), None)


def figure(of: Quantity, ours: Sequence[Seen], bare: Sequence[Seen]) -> Figure | None:
    """None where a run did not come to it."""
    values, theirs = [of(seen) for seen in ours], [of(seen) for seen in bare]
    known = [x for x in values if x is not None]
    if len(known) < len(values):
        return None
    seen = [y / x for x, y in zip(known, theirs, strict=True) if y is not None]
    ratios = [statistics.median(seen), min(seen), max(seen)] if seen else None
    return Figure(statistics.median(known), ratios)


def figures(job: Job, rounds: Rounds, target: float) -> dict[str, dict[str, Figure | None]]:
    """Of each contender, by column."""
    columns = quantities(job, target)
    return {
        name: {title: figure(of, seen, rounds[BARE]) for title, (of, _) in columns.items()}
        for name, seen in rounds.items()
    }


def table(title: str, job: Job, rounds: Rounds, target: float) -> Table:
    """A row each; below a figure, how many times as good as the bare loop's it is."""
    columns = quantities(job, target)
    caption = f"x: how many times as good as {BARE} of the same round; above 1 is better"
    drawn = Table("", *columns, title=title, caption=caption)
    for name, found in figures(job, rounds, target).items():
        cells = [
            "never" if (x := found[title]) is None else x.words(digits)
            for title, (_, digits) in columns.items()
        ]
        drawn.add_row(name, *cells)
    return drawn
