"""Figures in few characters, the same everywhere."""

import math

from engine.contract.events import (
    Evaluated,
    ModelCompiled,
    PrefixAdvanced,
    PrefixCached,
    SpeedMeasured,
)
from engine.contract.inspection import TextBaseline
from engine.contract.speed import Timed
from engine.contract.state import RunState
from engine.contract.tasks import TASKS, Figure, TaskWords
from engine.contract.text import plain
from engine.runs.store import RunSummary


def number(value: float | None) -> str:
    """Four significant digits, `-` for none: 0.5123, 12.35, 3.2e-05."""
    if value is None or math.isnan(value):
        return "-"
    if value and not 1e-4 <= abs(value) < 1e5:
        return f"{value:.2g}"
    return f"{value:.4g}"


def percent(share: float) -> str:
    """A share of 1, to a tenth; 100 % is all, so 0.9999 reads 99.9 %."""
    rounded = round(100 * share, 1)
    return f"{min(rounded, 99.9) if share < 1 else rounded:.1f} %"


def measured(figure: Figure, value: float | None) -> str:
    """What an evaluation says of a figure: 79.0 %, 23.41."""
    if value is None or not figure.share:
        return number(value)
    return percent(value)


def main_figure(task: TaskWords, evaluated: Evaluated, width: int = 0) -> str:
    """The task's first figure with its name: top-1 79.0 %; `width` cells are for the value."""
    main = task.figures[task.main]
    return f"{main.label} {measured(main, evaluated.value(task.main)):>{width}}"


def baseline_text(found: TextBaseline) -> str:
    """What TF-IDF and the commonest class come to, in a sentence."""
    tfidf, majority = (
        ", ".join(
            f"{known.label} {measured(known, figures[key])}"
            for key, known in TASKS["text-classification"].figures.items()
        )
        for figures in (found.tfidf, found.majority)
    )
    return (
        f"TF-IDF with logistic regression: {tfidf} on {count(found.val, 'text')}; always saying "
        f"'{plain(found.commonest)}' gives {majority}."
    )


def delivered(state: RunState) -> str:
    """What the finished model came to on the validation data; empty where that is not known."""
    if (found := state.delivered) is None:
        return ""
    main = state.task.figures[state.task.main]
    value = measured(main, found.figures.get(state.task.main))
    return f"validation {main.label} {value}, loss {number(found.loss)}"


def best_main(run: RunSummary) -> str:
    """The main figure of a run's best model with its name; empty where there is none yet."""
    task = TASKS.get(run.task)
    value = run.best_model.get(f"val_{task.main}") if task else None
    if task is None or value is None:
        return ""
    main = task.figures[task.main]
    return f"{main.label} {measured(main, value)}"


def duration(seconds: float) -> str:
    """48s, 2m10s, 3h05m, 2d04h."""
    whole = max(0, round(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days}d{hours % 24:02}h"
    if hours:
        return f"{hours}h{minutes % 60:02}m"
    return f"{minutes}m{whole % 60:02}s" if minutes else f"{whole}s"


def count(amount: int, noun: str) -> str:
    """1 step, 2 steps, 1,200 steps."""
    return f"{amount:,} {noun}" + ("" if amount == 1 else "s")


def short(amount: float) -> str:
    """Thousands, millions and billions in five characters: 950, 1.2k, 11.7M, 6.7B."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if amount >= limit * 0.9995:
            scaled = amount / limit
            return f"{scaled:.0f}{unit}" if scaled >= 99.95 else f"{scaled:.1f}{unit}"
    return f"{amount:.0f}"


def filling(event: PrefixAdvanced) -> str:
    """How far the frozen part is computed."""
    known = f", {event.reused:,} known already" if event.reused else ""
    return f"frozen part computed: {event.samples:,}/{event.of:,}{known}"


def cached(event: PrefixCached) -> str:
    """What of a forward pass is computed once, or why nothing is."""
    if not event.cut:
        return plain(f"{event.data}: the frozen part is not kept, {event.why}")
    where = "on disk" if event.on_disk else "in memory"
    views = f" in {event.views} views" if event.views > 1 else ""
    count = event.samples // event.views
    half = "" if event.precision == "exact" else f" in {event.precision}"
    known = f", {event.reused:,} known already" if event.reused else ""
    kept = f"{count:,} samples{views}{half}{known}, {size(event.size)} {where}"
    return plain(f"{event.data}: goes on {event.cut}, {percent(event.share)} kept ({kept})")


def computing(state: RunState) -> str:
    """How a run computes: fp32, channels last, 2 threads."""
    return _way(
        state.precision, state.channels_last, state.threads if state.device == "cpu" else None
    )


def speed(event: SpeedMeasured) -> str:
    """What was measured before the first step, and what came of it."""
    usual, chosen = event.tried[0], event.tried[event.chosen]
    differ = len({way.threads for way in event.tried}) > 1

    def named(way: Timed) -> str:
        return _way(way.precision, way.channels_last, way.threads if differ else None)

    def against(way: Timed) -> str:
        return f"{named(way)} {usual.milliseconds / way.milliseconds:.2f} times as fast"

    took = f"{usual.milliseconds:.0f} ms a pass of {count(event.samples, 'sample')}"
    others = [against(way) for way in event.tried[1:] if way is not chosen]
    found = f"{against(chosen)} as {named(usual)}" if event.chosen else f"{named(usual)} stays"
    return plain("; ".join([f"measured: {found} ({took})", *others]))


def compiled(event: ModelCompiled) -> str:
    """What compiling took and gave."""
    gain = f"; a pass is {event.gain:.2f} times as fast" if event.gain else ""
    return f"compiled in {duration(event.seconds)}{gain}"


def _way(precision: str, channels_last: bool, threads: int | None) -> str:
    parts = [precision, *(["channels last"] if channels_last else [])]
    return ", ".join([*parts, *([count(threads, "thread")] if threads else [])])


def size(amount: float) -> str:
    """Bytes in binary units: 512 B, 17.0 MiB, 1.5 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
