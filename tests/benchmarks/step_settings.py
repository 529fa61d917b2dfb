"""What precision, layout, recomputing and torch.compile make of a training step.

`python -m tests.benchmarks.step_settings` prints, for resnet18 with 16 pictures of 224 pixels, all
of it trained, the time of a step in each way and its ratio to a bare PyTorch loop, and says what
`auto` chose. Each way has a process of its own, where the batches lie in memory; they take turns,
and the ratio is the median of those paired within a round. With `--compile` that is among them,
which takes a minute more to begin.
"""

import argparse
import os
from functools import partial

from msgspec.structs import replace
from rich.console import Console

from engine.contract.training_tables import TrainingConfig
from tests.benchmarks.step_overhead import LOOPS, PLAIN, Job, Loop, measure, ours, resnet18

SETTINGS: dict[str, TrainingConfig] = {
    "fp32": PLAIN,
    "fp32, channels last": replace(PLAIN, channels_last=True),
    "bf16": replace(PLAIN, precision="bf16"),
    "bf16, channels last": replace(PLAIN, precision="bf16", channels_last=True),
    "fp32, recompute": replace(PLAIN, recompute=True),
    "auto": replace(PLAIN, precision="auto", channels_last="auto"),
}
COMPILED = {
    "fp32, compile": replace(PLAIN, compile=True),
    "fp32, channels last, compile": replace(PLAIN, channels_last=True, compile=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=max(1, os.cpu_count() or 1))
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--count", type=int, default=16, help="pictures a batch")
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--only", nargs="*", help="names of some")
    options = parser.parse_args()
    settings = SETTINGS | (COMPILED if options.compile else {})
    loops: dict[str, Loop] = {name: LOOPS[name] for name in ("bare", "bare, fused optimizer")}
    for name, training in settings.items():
        if options.only is None or name in options.only:
            loops[name] = partial(ours, training=training)
    console = Console()
    console.print(f"{'CPU' if options.cpu_time else 'wall'} time, {options.threads} threads")
    job = Job(resnet18, size=224, count=options.count, steps=1)
    console.print(measure(job, options.rounds, options.threads, options.cpu_time, loops))


if __name__ == "__main__":
    main()
