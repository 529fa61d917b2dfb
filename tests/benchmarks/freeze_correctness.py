"""What holds of freezing, thawing and steering, here and elsewhere, bit for bit on a CPU.

`python -m tests.benchmarks.freeze_correctness` runs the same small cases with ftui's engine, with
Lightning's `BaseFinetuning`, with the `Trainer` of Hugging Face's transformers, and with the script
that tutorials write, and prints what was measured. The extra `peers` brings the middle two; without
it their columns are left out. Where a contender leaves a choice that changes the answer, each way
is run and named: first the one that its documentation shows, or the shortest where it shows none,
then what else it offers. The cases and the ways are in `CASES`, the contenders in
`tests.benchmarks.peers`.
"""

import platform
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib import import_module, metadata
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from tests.benchmarks.peers.job import (
    HEAD,
    OPTIMIZERS,
    SCALE,
    STATISTICS,
    STEM,
    WEIGHTS,
    Job,
    Live,
    Seen,
    Way,
    difference,
    run,
)

FTUI, LIGHTNING, TRANSFORMERS, SCRIPT = "ftui", "Lightning", "HF Trainer", "plain script"
MODULES = {
    FTUI: "with_ftui",
    LIGHTNING: "with_lightning",
    TRANSFORMERS: "with_transformers",
    SCRIPT: "by_hand",
}
EXTRA = {LIGHTNING, TRANSFORMERS}
PACKAGES = ("torch", "lightning", "transformers", "accelerate", "numpy", "finetune-tui")
WIDTH = 118
ROUNDING = 1e-12
"""Relative; two ways to compute one rate differ by less."""


class Verdict(NamedTuple):
    """What was measured of one case."""

    passed: bool
    evidence: str


Runs = Callable[[Job], list[Seen]]
"""A job with SGD with momentum and with AdamW: what was seen of each."""
Ways = dict[str, Way]
"""What a choice is called, and the choice."""


@dataclass(frozen=True)
class Case:
    """Something that should hold, and how each contender may be asked for it."""

    title: str
    check: Callable[[Runs], Verdict]
    ways: dict[str, Ways] = field(default_factory=dict)
    """By contender; one that has no choice is left out."""


class Answer(NamedTuple):
    """A contender's verdict on a case, in one of its ways."""

    way: str
    verdict: Verdict


def frozen_weights(runs: Runs) -> Verdict:
    moved = worst(runs(Job(frozen=True)), WEIGHTS)
    return Verdict(moved == 0, f"weights move by {moved:.2g}")


def frozen_statistics(runs: Runs) -> Verdict:
    moved = worst(runs(Job(frozen=True)), STATISTICS)
    later = worst(runs(Job(freeze_at=2)), STATISTICS, since=8)
    return Verdict(
        moved == later == 0,
        f"statistics move by {moved:.2g}, and by {later:.2g} where frozen in mid-run",
    )


def frozen_norm(runs: Runs) -> Verdict:
    off = max(seen.norm_off for seen in runs(Job(frozen=True)))
    return Verdict(
        off == 0, f"in training, outputs are {off:.2g} off what the frozen statistics give"
    )


def frozen_in_mid_run(runs: Runs) -> Verdict:
    moved = worst(runs(Job(freeze_at=2)), WEIGHTS, since=8)
    return Verdict(moved == 0, f"weights move by {moved:.2g} after the freeze")


def thawed_moves(runs: Runs) -> Verdict:
    moved = least(runs(Job(frozen=True, thaw_at=1)))
    return Verdict(moved > 0, f"weights move by {moved:.2g} after the thaw")


def thawed_is_scheduled(runs: Runs) -> Verdict:
    job = Job(frozen=True, thaw_at=1, cosine=True)
    return rates_are(runs, job, first=4)


def resumed_is_the_same(runs: Runs) -> Verdict:
    job = Job(frozen=True, thaw_at=1)
    calm, struck = runs(job), runs(replace(job, kill_at=10))
    pairs = list(zip(calm, struck, strict=True))
    off = max(difference(one.states[-1], other.states[-1]) for one, other in pairs)
    moved = least(struck)
    return Verdict(
        off == 0 and moved > 0,
        f"the thawed weights move by {moved:.2g} after the resume, and the run ends {off:.2g} off",
    )


def rate_is_kept(runs: Runs) -> Verdict:
    return rates_are(runs, Job(cosine=True, halve_at=6), first=0)


def nothing_held_from_the_start(runs: Runs) -> Verdict:
    held = max(seen.held[-1] for seen in runs(Job(frozen=True)))
    return Verdict(held == 0, f"{held} bytes are held for the frozen weights")


def nothing_held_in_mid_run(runs: Runs) -> Verdict:
    runs_of = runs(Job(freeze_at=2))
    before, held = max(seen.held[7] for seen in runs_of), max(seen.held[-1] for seen in runs_of)
    return Verdict(held == 0, f"{held} bytes are held for the frozen weights, {before} before")


def worst(runs: list[Seen], names: tuple[str, ...], since: int = 0) -> float:
    """How far any of these tensors moved in any run, after so many steps."""
    return max(difference(seen.states[since], seen.states[-1], names) for seen in runs)


def least(runs: list[Seen]) -> float:
    """How far the stem's weights moved in the last life, in the run in which they moved least.

    Counted from the second step of four or more, which is after every thaw here.
    """
    return min(difference(seen.states[-4], seen.states[-1], WEIGHTS) for seen in runs)


def rates_are(runs: Runs, job: Job, first: int) -> Verdict:
    """Whether each step from `first` on had the rates that base, schedule and multiplier give."""
    for optimizer, seen in zip(OPTIMIZERS, runs(job), strict=True):
        asked = replace(job, optimizer=optimizer)
        for step, rates in enumerate(seen.rates[first:], start=first):
            for part, scale in ((HEAD, 1.0), (STEM, SCALE)):
                wanted, got = asked.expected_rate(step) * scale, rates[part]
                if got is None:
                    return Verdict(False, f"the {part} is not in the optimizer")
                if abs(got - wanted) > ROUNDING * wanted:
                    return Verdict(
                        False, f"step {step + 1}: the {part} has rate {got:.4g}, not {wanted:.4g}"
                    )
    return Verdict(True, "every rate is as it should be")


ALL, GROWN = Way(optimizer="all"), Way(optimizer="grown")
MODES: dict[str, Ways] = {
    LIGHTNING: {"train_bn=False": Way(), "and eval()": Way(modes=True)},
    TRANSFORMERS: {"requires_grad": Way(), "eval() in compute_loss": Way(modes=True)},
    SCRIPT: {"requires_grad": Way(), "eval() after train()": Way(modes=True)},
}
THAWS: dict[str, Ways] = {
    TRANSFORMERS: {"its own optimizer": Way(), "optimizers=": ALL},
    SCRIPT: {"requires_grad": Way(), "add_param_group": GROWN},
}
SCHEDULES: dict[str, Ways] = {
    LIGHTNING: {"LambdaLR": Way(schedule="lambda"), "CosineAnnealingLR": Way()},
    TRANSFORMERS: {"LambdaLR": replace(ALL, schedule="lambda"), "CosineAnnealingLR": ALL},
    SCRIPT: {"LambdaLR": replace(GROWN, schedule="lambda"), "CosineAnnealingLR": GROWN},
}
"""A multiplier, for the trainer, takes an optimizer that is given as `optimizers`."""
THAWS_SCHEDULED = {
    **SCHEDULES,
    TRANSFORMERS: {
        "its own optimizer": Way(),
        "optimizers=, LambdaLR": replace(ALL, schedule="lambda"),
        "optimizers=, CosineAnnealingLR": ALL,
    },
}
RESUMES: dict[str, Ways] = {
    LIGHTNING: {"epoch == 1": Way(), "epoch >= 1": Way(thaw=">=")},
    TRANSFORMERS: {"epoch == 1": ALL, "epoch >= 1": replace(ALL, thaw=">=")},
    SCRIPT: {
        "epoch == 1": ALL,
        "add_param_group": replace(GROWN, thaw=">="),
        "epoch >= 1": replace(ALL, thaw=">="),
    },
}
CASES = [
    Case("1. frozen weights stay, with momentum and weight decay", frozen_weights),
    Case("2. statistics of a frozen BatchNorm stay", frozen_statistics, MODES),
    Case("2b. and are what it normalises with, in training too", frozen_norm, MODES),
    Case("3. weights frozen in mid-run, with moments, stay", frozen_in_mid_run),
    Case("4. weights thawed in mid-run move", thawed_moves, THAWS),
    Case("4b. at base rate x schedule x multiplier", thawed_is_scheduled, THAWS_SCHEDULED),
    Case("5. killed after a thaw and resumed, the run is the same", resumed_is_the_same, RESUMES),
    Case("6. a rate changed in mid-run stays, under the schedule", rate_is_kept, SCHEDULES),
    Case("7. nothing is held for weights frozen from the start", nothing_held_from_the_start),
    Case("7b. nor for those frozen in mid-run", nothing_held_in_mid_run),
]


def answers(case: Case, name: str, live: Live) -> Iterator[Answer]:
    """A contender's answers to a case, one a way; a run that raises is a no."""
    for label, way in case.ways.get(name, {"": Way()}).items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                yield Answer(label, case.check(lambda job, way=way: both(live, job, way, folder)))
            except Exception as error:
                yield Answer(label, Verdict(False, f"{type(error).__name__}: {error}"))


def both(live: Live, job: Job, way: Way, parent: str) -> list[Seen]:
    """The job with each optimizer, in folders of their own."""
    seen = []
    for optimizer in OPTIMIZERS:
        folder = Path(tempfile.mkdtemp(dir=parent))
        seen.append(run(live, replace(job, optimizer=optimizer, way=way), folder))
    return seen


def cell(given: list[Answer]) -> str:
    """What the table says: yes or no, or which way gives which."""
    words = ["yes" if answer.verdict.passed else "no" for answer in given]
    if len(set(words)) == 1:
        return words[0]
    return "\n".join(f"{word}: {answer.way}" for word, answer in zip(words, given, strict=True))


def failures(case: Case, given: dict[str, list[Answer]]) -> Iterator[str]:
    """A line for each no, with what was measured."""
    number = case.title.split()[0].rstrip(".")
    for name, some in given.items():
        for way, (passed, evidence) in some:
            if not passed:
                yield f"{number:>2} {name}{f' ({way})' if way else ''}: {evidence}"


def contenders(console: Console) -> dict[str, Live]:
    """Those that are installed; of the others it is said how to get them."""
    found: dict[str, Live] = {}
    for name, module in MODULES.items():
        try:
            found[name] = import_module(f"tests.benchmarks.peers.{module}").live
        except ImportError as error:
            if name not in EXTRA:
                raise
            console.print(
                f'{name} is left out ({error}): pip install -e ".[peers]" brings it.', markup=False
            )
    return found


def versions() -> str:
    """Of everything that takes part."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "(this checkout)" if package == "finetune-tui" else "(not installed)"
    return ", ".join(f"{package} {version}" for package, version in found.items())


def main() -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    console = Console(width=WIDTH)
    console.print(versions(), highlight=False)
    lives = contenders(console)
    table = Table("", *lives, title="freezing and steering, on a CPU", show_lines=True)
    evidence: list[str] = []
    for case in CASES:
        given = {name: list(answers(case, name, live)) for name, live in lives.items()}
        table.add_row(case.title, *(cell(some) for some in given.values()))
        evidence += failures(case, given)
    console.print(table)
    for line in evidence:
        console.print(line, markup=False, highlight=False)


if __name__ == "__main__":
    main()
