"""One real step of every model: a new head, the tree, an optimizer step of the head alone.

`python -m tests.engine.models.families > docs/models.md` takes them all and writes the tables.
"""

import datetime
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import list_models, segmentation
from transformers import AutoModel, AutoModelForCausalLM

from engine import device, models, restore
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.events import StepsTrained
from engine.contract.plan import head_only, resolve, trainable_parameters
from engine.contract.tasks import TASKS
from engine.contract.training_tables import OptimizerConfig, TrainingConfig
from engine.contract.tree import parameter_sizes
from engine.data.batch import Batch
from engine.loop import take_step
from engine.models.source import LoadedModel
from engine.session import Session
from engine.tasks.classifying import Classifying
from engine.tasks.next_token import NextToken
from engine.tasks.segmenting import Segmenting
from engine.tasks.task import Objective
from engine.tasks.text_classification import ClassifyingTexts
from tests.engine.models.language import VOCABULARY, save
from tests.engine.sessions import Batches

CLASSES, BATCH = 3, 2
PIXELS, TOKENS = 64, 8
"""Of an input, but for those in `SIDES`."""
SIDES = {
    "torchvision/vit_h_14": 56,
    "torchvision/inception_v3": 96,
    "torchvision/maxvit_t": 224,
    "timm/vit_tiny_patch16_224": 224,
    "timm/swin_tiny_patch4_window7_224": 224,
    "timm/deit_tiny_patch16_224": 224,
    "timm/mixer_s32_224": 224,
}
TIMM = [
    "resnet10t",
    "vit_tiny_patch16_224",
    "tf_efficientnet_lite0",
    "swin_tiny_patch4_window7_224",
    "convnext_atto",
    "regnety_002",
    "mobilenetv4_conv_small",
    "deit_tiny_patch16_224",
    "densenet121",
    "mixer_s32_224",
]
ENCODERS = ["bert", "distilbert", "roberta", "deberta-v2", "electra", "albert", "xlm-roberta"]
DECODERS = ["gpt2", "llama", "qwen2", "mistral", "gpt_neox"]
MODELS = {
    "image-classification": [
        *(f"torchvision/{name}" for name in list_models(module=torchvision.models)),
        *(f"timm/{name}" for name in TIMM),
    ],
    "semantic-segmentation": [f"torchvision/{n}" for n in list_models(module=segmentation)],
    "text-classification": ENCODERS,
    "causal-lm": DECODERS,
}
"""By task: SOURCE/NAME, or a family of Transformers, of which a small one is written to disk."""


class Row(NamedTuple):
    """What came of a model."""

    model: str
    parameters: int
    modules: int
    head: str
    trained: int
    """Parameters of the head."""
    loss: float
    """Of the batch, before the step."""


def step(task: str, name: str) -> Row:
    """Train the head for one step, and see that all else stays as it was, bit for bit."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        config = _config(task, name, Path(folder))
        loaded = models.load(config, CLASSES, lambda _: None)
        drawn = models.describe(config.model.name, config.model.weights, CLASSES, task)
        session = _session(config, loaded, Path(folder))
        info, module = loaded.info, session.module
        assert [(m.path, m.type) for m in drawn.modules] == [(m.path, m.type) for m in info.modules]
        assert drawn.head == info.head
        assert [m.path for m in info.modules] == [
            path for path, _ in module.named_modules() if path
        ]
        assert parameter_sizes(info) == {n: p.numel() for n, p in module.named_parameters()}
        assert info.total_parameters == sum(p.numel() for p in module.parameters())
        before = {n: t.clone() for n, t in _tensors(module).items()}
        assert take_step(session)
    changed = {n for n, t in _tensors(module).items() if not torch.equal(t, before[n])}
    assert changed
    assert all(n.startswith(tuple(f"{path}." for path in info.head)) for n in changed)
    trained = trainable_parameters(resolve(head_only(info), info), info)
    assert session.trainable_parameters == trained < info.total_parameters
    told = session.pending.flush()[0]
    assert isinstance(told, StepsTrained)
    loss = told.loss[0]
    assert loss is not None
    return Row(name, info.total_parameters, len(info.modules), ", ".join(info.head), trained, loss)


def _config(task: str, name: str, folder: Path) -> Config:
    """For a model with random weights; one of Transformers is written to the folder, and read."""
    weights = "none"
    if name in ENCODERS + DECODERS:
        kind = AutoModel if name in ENCODERS else AutoModelForCausalLM
        name, weights = str(save(folder, name, kind=kind)), "DEFAULT"
    return Config(
        task,
        ModelConfig(name, weights),
        DataConfig("noise", image_size=SIDES.get(name, PIXELS), batch_size=BATCH),
        optimizer=OptimizerConfig(lr=0.1),
        training=TrainingConfig(epochs=1, device="cpu"),
    )


def _session(config: Config, loaded: LoadedModel, folder: Path) -> Session:
    """A run of one step, on noise, by the objective that the task has in any run."""
    objective, batch = _given(config, loaded)
    session = Session(
        config,
        folder,
        loaded.info,
        loaded.module,
        [],
        Batches([batch]),
        Batches(),
        device.choose(config.training),
        objective,
        restore.progress(config, loaded.info, None),
    )
    session.set_plan(session.progress.rules)
    return session


def _given(config: Config, loaded: LoadedModel) -> tuple[Objective, Batch]:
    side, counts = config.data.image_size, [1] * CLASSES
    images, labels = torch.rand(BATCH, 3, side, side), torch.arange(BATCH)
    masks = torch.randint(0, CLASSES, (BATCH, side, side))
    ids = torch.randint(4, VOCABULARY, (BATCH, TOKENS + 1))
    texts = {"input_ids": ids[:, :-1], "attention_mask": torch.ones_like(ids[:, :-1])}
    match config.task:
        case "image-classification":
            return Classifying(config, counts), Batch(images, labels)
        case "semantic-segmentation":
            return Segmenting(config, counts), Batch(images, masks)
        case "text-classification":
            return ClassifyingTexts(config, counts), Batch(texts, labels)
    return NextToken(config, loaded.tokenizer, [], TOKENS), Batch(texts, ids[:, 1:])


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, one that several modules share once."""
    return dict([*module.named_parameters(), *module.named_buffers()])


def _table(task: str) -> Iterator[str]:
    yield f"\n## {TASKS[task].title.capitalize()}\n"
    yield "| model | parameters | modules | head | parameters in it | loss |"
    yield "|---|---:|---:|---|---:|---:|"
    for name in MODELS[task]:
        row = step(task, name)
        yield (
            f"| {row.model} | {row.parameters:,} | {row.modules:,} | {row.head} | {row.trained:,} "
            f"| {row.loss:.3f} |"
        )


if __name__ == "__main__":
    versions = (
        f"{n} {metadata.version(n)}" for n in ("torch", "torchvision", "timm", "transformers")
    )
    print(f"""# Models that took a real step

Each was built with random weights, given a head for {CLASSES} classes and trained for one step of
SGD on {BATCH} inputs of noise, on a CPU, the head alone, by `tests/engine/models/families.py`.
The head moved; all other parameters and buffers stayed, bit for bit; the tree that the app draws
has the modules and parameters of the network. Those of Transformers are small ones, written to disk
and loaded from there; for causal language modelling they keep their head.

{datetime.date.today()}, {", ".join(versions)}.""")
    for task in MODELS:
        for line in _table(task):
            print(line, flush=True)
