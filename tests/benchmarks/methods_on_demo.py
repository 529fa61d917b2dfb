"""What methods of fine-tuning come to on the demo's pictures.

`python -m tests.benchmarks.methods_on_demo` trains the demo's network by each method and seed, all
else equal, and prints the validation accuracy of the finished model and of the last epoch. With
460 pictures in all, 100 of them to evaluate on, a point is one picture.
"""

import argparse
import asyncio
import statistics
import tempfile
from pathlib import Path

from msgspec.structs import replace

import engine
from engine.contract.config import Config
from engine.contract.methods import METHODS
from engine.models import describe
from ftui.cli.demo import configuration


def asked(method: str, seed: int, epochs: int, overrides: list[str]) -> Config:
    """The demo's config with a method's rules and stages."""
    settings = [f"training.seed={seed}", f"training.epochs={epochs}"]
    config = configuration((*settings, "early_stopping.metric=val_top1", *overrides))
    model = describe(config.model.name, config.model.weights, classes=7)
    stages = METHODS[method].stages(model, epochs)
    return replace(config, trainable=METHODS[method].rules(model), stages=stages)


async def accuracies(config: Config, runs: Path) -> tuple[float, float]:
    """Of the best epoch, which the finished model has, and of the last."""
    run = await engine.start(config, runs)
    async for _ in run.events():
        pass
    if run.state.phase != "finished":
        raise SystemExit(f"{run.folder}: {run.state.error}")
    return run.state.best["val_top1"], run.state.evaluations[-1].figures["top1"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=["linear-probe", "lp-ft", "gradual"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--set", nargs="*", default=[], dest="overrides")
    given = parser.parse_args()
    for method in given.methods:
        found = []
        for seed in given.seeds:
            with tempfile.TemporaryDirectory() as runs:
                config = asked(method, seed, given.epochs, given.overrides)
                found.append(asyncio.run(accuracies(config, Path(runs))))
        best, last = ([100 * x[i] for x in found] for i in (0, 1))
        print(
            f"{method:14} finished model {_row(best)}   last epoch {_row(last)}",
            flush=True,
        )


def _row(values: list[float]) -> str:
    each = " ".join(f"{value:5.1f}" for value in values)
    return f"{each}  mean {statistics.mean(values):5.1f} %"


if __name__ == "__main__":
    main()
