"""One real step of every model: a new head, the tree, an optimizer step. As a script it prints a
table for the docs: `python -m tests.engine.models.families > docs/models.md`."""

import sys
from collections.abc import Callable

import torch
import torchvision
from torchvision.models import list_models

from engine import models
from engine.contract import toml
from engine.contract.plan import head_only, resolve, trainable_parameters
from engine.contract.tree import parameter_sizes
from engine.freeze import apply_plan

CLASSES = 3
SIZES = {"inception_v3": 96, "maxvit_t": 224}
TIMM = {
    "resnet10t": 64,
    "vit_tiny_patch16_224": 224,
    "tf_efficientnet_lite0": 64,
    "swin_tiny_patch4_window7_224": 224,
    "convnext_atto": 64,
    "regnety_002": 64,
    "mobilenetv4_conv_small": 64,
    "deit_tiny_patch16_224": 224,
    "densenet121": 64,
    "mixer_s32_224": 224,
}


def step(name: str, size: int) -> str:
    """One step of SGD of the head alone; a row of the table."""
    config = toml.parse(
        f'task = "image-classification"\nmodel.name = "{name}"\nmodel.weights = "none"\n'
        f'data.path = "x"\ndata.image_size = {size}'
    )
    torch.manual_seed(0)
    loaded = models.load(config, CLASSES, lambda _: None)
    module, info = loaded.module, loaded.info
    sizes = {n: p.numel() for n, p in module.named_parameters()}
    assert parameter_sizes(info) == sizes
    plan = resolve(head_only(info), info)
    apply_plan(module, plan)
    before = {n: p.detach().clone() for n, p in module.named_parameters()}
    trained = [p for p in module.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == trainable_parameters(plan, info)
    logits = module(torch.rand(2, 3, size, size))
    assert logits.shape == (2, CLASSES)
    wrong = logits.argmin(1)  # random weights may be so sure that a right guess has no gradient
    torch.nn.functional.cross_entropy(logits, wrong).backward()
    torch.optim.SGD(trained, lr=0.1).step()
    heads = tuple(f"{path}." for path in info.head)
    changed = {n for n, p in module.named_parameters() if not torch.equal(p, before[n])}
    assert changed
    assert all(n.startswith(heads) for n in changed)
    head, total = ", ".join(info.head), info.total_parameters
    return f"| {name} | {total:,} | {head} | {len(info.modules)} | {size} |"


def _classifiers() -> dict[str, int]:
    names = list_models(module=torchvision.models)
    rows = {f"torchvision/{name}": SIZES.get(name, 64) for name in names}
    return rows | {f"timm/{name}": size for name, size in TIMM.items()}


FAMILIES: dict[str, tuple[Callable[[str, int], str], dict[str, int]]] = {
    "image classification": (step, _classifiers()),
}
"""Task to its step and its models, with the size of their inputs; other tasks add theirs here."""


if __name__ == "__main__":
    print("# Models that took a real step\n\nThe head trained, new for 3 classes, on a CPU.")
    for task, (one, wanted) in FAMILIES.items():
        print(f"\n## {task.capitalize()}\n\n| model | parameters | head | modules | input |")
        print("|---|---|---|---|---|")
        for name, size in wanted.items():
            print(one(name, size))
            sys.stdout.flush()
