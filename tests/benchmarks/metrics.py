"""What an evaluation's figures cost: ours beside torchmetrics.

`pip install torchmetrics`, then `python -m tests.benchmarks.metrics`. Prints the seconds that its
import takes in a process that has torch and torchvision, and the microseconds of a batch of 32 with
10 classes, interleaved, once what comes out is found to be equal.
"""

import subprocess
import sys
import time
from statistics import median

import torch

from engine.tally import Tally
from engine.tasks.classifying import Classifying
from tests.engine.sessions import config

CLASSES, BATCHES, SIZE, ROUNDS = 10, 100, 32, 9
_IMPORT = """
import time, torch, torchvision
began = time.perf_counter()
import torchmetrics.classification
print(time.perf_counter() - began)
"""


def main() -> None:
    try:
        from torchmetrics import MetricCollection
        from torchmetrics.classification import MulticlassAccuracy
    except ImportError:
        raise SystemExit("pip install torchmetrics") from None
    torch.set_num_threads(1)
    logits = torch.randn(BATCHES, SIZE, CLASSES)
    labels = torch.randint(0, CLASSES, (BATCHES, SIZE))
    objective = Classifying(config(), [1] * CLASSES)

    def ours() -> list[float]:
        tally = Tally()
        for some, wanted in zip(logits, labels, strict=True):
            tally.add(objective.measure(some, wanted), range(SIZE))
        tally.read()
        found = objective.figures(tally.sums, tally.rows).figures
        return [found["top1"], found["top5"]]

    def theirs() -> list[float]:
        top1 = MulticlassAccuracy(CLASSES, average="micro")
        metrics = MetricCollection(
            {"top1": top1, "top5": MulticlassAccuracy(CLASSES, top_k=5, average="micro")}
        )
        for some, wanted in zip(logits, labels, strict=True):
            metrics.update(some, wanted)
        return [float(value) for value in metrics.compute().values()]

    assert torch.allclose(torch.tensor(ours()), torch.tensor(theirs()))
    seconds: dict[str, list[float]] = {"ours": [], "torchmetrics": []}
    for _ in range(ROUNDS):
        for name, run in (("ours", ours), ("torchmetrics", theirs)):
            began = time.perf_counter()
            run()
            seconds[name].append((time.perf_counter() - began) / BATCHES)
    one, other = (median(found) for found in seconds.values())
    print(f"ours {1e6 * one:.0f} us a batch, with loss and each sample's guess")
    print(f"torchmetrics {1e6 * other:.0f} us a batch, top-1 and top-5 alone: {other / one:.1f} x")
    taken = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, check=True)
    print(f"its import takes {float(taken.stdout):.1f} s")


if __name__ == "__main__":
    main()
