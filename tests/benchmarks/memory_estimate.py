"""What a step costs by the estimate, and what it took: memory and time of five families on a CPU.

    python -m tests.benchmarks.memory_estimate [FAMILY ...]

Random weights, blank batches, SGD with momentum; for each model everything trains, the last block
and the head, or the head alone. Each step is made in a process of its own, on one thread.

*held* is how far the process's resident size rose (VmHWM) above that after a first small step whose
model is gone again, with an allocator that hands back what is freed (M_MMAP_THRESHOLD of 64 KiB):
so it is what is held at once, oneDNN's scratch memory included. *kept* is the same with the
allocator as the worker has it. Time is the processor's (a busy machine counts less), of the faster
of two steps; *answer* is what the estimate itself takes once the model is built.
"""

import ctypes
import gc
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from msgspec.structs import replace

from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.plan import resolve
from engine.contract.rules import Rule
from engine.contract.task_tables import TextConfig

CLASSES = 10
METHOD = {"full": [Rule("*")], "last block": [Rule("last:1")], "head": [Rule("last:0")]}
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
MIB = 2**20


def pictures(name: str, batch: int, task: str = "image-classification", size: int = 224) -> Config:
    data = DataConfig("none", image_size=size, batch_size=batch)
    return Config(task, ModelConfig(f"torchvision/{name}", "none"), data)


def texts(name: str, batch: int, length: int, task: str) -> Config:
    model = ModelConfig(f"{tempfile.gettempdir()}/ftui-{name}", "none")
    text = TextConfig(max_length=length)
    return Config(task, model, DataConfig("none", batch_size=batch), text=text)


FAMILIES = {
    "ResNet-50": pictures("resnet50", 8),
    "ViT-B/16": pictures("vit_b_16", 4),
    "DeepLabV3 MobileNetV3": pictures(
        "deeplabv3_mobilenet_v3_large", 4, "semantic-segmentation", 256
    ),
    "BERT (12 × 384)": texts("bert", 8, 128, "text-classification"),
    "GPT-2": texts("gpt2", 2, 256, "causal-lm"),
}


def write_language_models() -> None:
    """Configs and a tokenizer: weights are drawn."""
    from transformers import BertConfig, GPT2Config

    from tests.engine.language import tokenizer

    minilm = BertConfig(hidden_size=384, intermediate_size=1536, num_hidden_layers=12)
    for name, config in (("bert", minilm), ("gpt2", GPT2Config())):
        folder = Path(tempfile.gettempdir()) / f"ftui-{name}"
        config.save_pretrained(folder)
        tokenizer().save_pretrained(folder)


def estimate(config: Config, plan: str) -> dict[str, float]:
    from contextlib import nullcontext

    import torch

    from engine.cost import rates
    from engine.cost.blank import load
    from engine.cost.ledger import Watched
    from engine.cost.step import trace
    from engine.tasks import TASKS

    mode = Watched()
    loaded = load(config, CLASSES, mode)
    blank = TASKS[config.task].blank(config, loaded, CLASSES)
    rules = resolve([Rule("*", train=False), *METHOD[plan]], loaded.info)
    for _ in range(2):
        began = time.process_time()
        step = trace(loaded.module, blank, rules, config, nullcontext(), mode)
        took = time.process_time() - began
    moved = 5 * step.gradients  # by SGD with momentum
    known = rates.measure(torch.float32)
    seconds = rates.seconds(step.work, known) + moved / known["elementwise"]
    return {"peak": step.peak, "took": took, "seconds": seconds}


def measure(config: Config, plan: str, keep: bool) -> dict[str, float]:
    import torch

    from engine import memory

    if keep:
        memory.keep_freed()
    else:
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 2**16)
        ctypes.CDLL(None).mallopt(M_TRIM_THRESHOLD, 2**16)
    torch.set_num_threads(1)
    steps(replace(config, data=replace(config.data, batch_size=2)), plan, 1)  # code is paged in
    gc.collect()
    before = resident("VmRSS")
    seconds = steps(config, plan, 2)
    return {"peak": resident("VmHWM") - before, "seconds": min(seconds)}


def steps(config: Config, plan: str, count: int) -> list[float]:
    """Processor seconds of each."""
    from engine import freeze, models, optim
    from engine.tasks import TASKS

    loaded = models.load(config, CLASSES, lambda _: None, structure_only=True)
    module, blank = loaded.module, TASKS[config.task].blank(config, loaded, CLASSES)
    rules = resolve([Rule("*", train=False), *METHOD[plan]], loaded.info)
    freeze.apply_plan(module, rules)
    optimizer = optim.build(module, config.optimizer)
    optim.regroup(optimizer, module, rules, config.optimizer)
    optim.set_lr(optimizer, 1e-6)
    Path("/proc/self/clear_refs").write_text("5")  # what was drawn and dropped does not count
    seconds = []
    for _ in range(count):
        began = time.process_time()
        inputs, targets = blank.batch(config.data.batch_size)
        blank.objective.loss(blank.objective.outputs(module, inputs), targets).backward()
        optimizer.step()
        for parameter in module.parameters():
            parameter.grad = None
        seconds.append(time.process_time() - began)
    return seconds


def resident(which: str) -> int:
    """Bytes."""
    found = re.search(rf"{which}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def in_a_process(*words: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.memory_estimate", "--child", *words]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    write_language_models()
    print("| model | trains | MiB | held | error | kept | s | measured | answer |")
    for family in sys.argv[1:] or FAMILIES:
        for plan in METHOD:
            said = in_a_process("estimate", family, plan)
            held = in_a_process("measure", family, plan)
            kept = in_a_process("keep", family, plan)
            error = said["peak"] / held["peak"] - 1
            row = [family, plan, f"{said['peak'] / MIB:,.0f}", f"{held['peak'] / MIB:,.0f}"]
            row += [f"{error:+.1%}", f"{kept['peak'] / MIB:,.0f}"]
            row += [f"{said['seconds']:.2f}", f"{kept['seconds']:.2f}", f"{said['took']:.2f}"]
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        kind, which, plan = sys.argv[2:]
        config = FAMILIES[which]
        print(
            json.dumps(
                estimate(config, plan)
                if kind == "estimate"
                else measure(config, plan, keep=kind == "keep")
            )
        )
    else:
        main()
