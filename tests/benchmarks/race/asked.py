"""What every contender of the race is asked for, and what is seen of it. No torch: ftui's own
process has none.
"""

from typing import Literal

from msgspec import Struct, field

from engine.contract.preprocessing import Preprocessing

Plan = Literal["full", "head", "last-block"]
PARTS = {
    "resnet18": ("fc", "layer4"),
    "resnet50": ("fc", "layer4"),
    "vit_b_16": ("heads", "encoder.layers.encoder_layer_11"),
    "tf_efficientnet_lite0": ("classifier", "blocks.6"),
}
"""Of a network the head, and the last block."""
MOMENTUM = 0.9


class Job(Struct, frozen=True):
    """A run. No schedule, no weight decay: frameworks differ in what they leave out of it."""

    model: str
    """SOURCE/NAME."""
    weights: str
    """File with all weights that it begins with, head included."""
    plan: Plan
    data: str
    """Folder with train/ and val/, each with a folder a class."""
    preprocessing: Preprocessing
    batch_size: int
    epochs: int
    classes: int = 7
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.01
    smoothing: float = 0.0
    augment: bool = False
    """Random crops and flips."""
    evaluates: bool = False
    """After each epoch, on all of val/."""
    seed: int = 0
    settings: list[str] = []
    """Of ftui, as `--set` takes them."""

    @property
    def trains(self) -> list[str]:
        """Paths of the modules that train; "" for all."""
        head, block = PARTS[self.model.partition("/")[2]]
        return {"full": [""], "head": [head], "last-block": [block, head]}[self.plan]


class Seen(Struct):
    """What a run took, in seconds and bytes; evaluations as accuracy, 0 to 1."""

    first_step: float = 0.0
    """From the start of the process to the end of the first step."""
    epochs: list[float] = field(default_factory=list)
    """Training of each epoch; evaluating and saving is left out."""
    evaluations: list[tuple[float, float]] = field(default_factory=list)
    """When, from the start of the process, and how accurate."""
    peak: int = 0
    wall: float = 0.0
    """From the start of the process to its end."""
    precision: str = "fp32"
    about: str = ""
    """What a contender says of how it computed."""
