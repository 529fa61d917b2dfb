"""Questions to the helper process that knows torch, and its answers: one JSON object a line."""

from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from engine.contract.config import Config

NO_MODEL = "none/chosen"
"""What stands for `model.name` in a question about data where no model was chosen yet."""
Part = Literal["train", "val"]


class Asked(Struct, frozen=True, kw_only=True):
    """What every question carries."""

    id: int
    """The asker's own number; the answer carries it."""


class AskCatalogue(Asked, frozen=True, tag_field="ask", tag="catalogue"):
    """Which models there are; answered by a `Catalogue`."""


class AskDescribe(Asked, frozen=True, tag_field="ask", tag="describe"):
    """What a model is made of; answered by a `ModelInfo`."""

    name: str
    """SOURCE/NAME."""
    weights: str = "DEFAULT"
    classes: int | None = None
    """Outputs of the head; None keeps the published one."""
    task: str = "image-classification"


class AskDevice(Asked, frozen=True, tag_field="ask", tag="device"):
    """Where torch can train; answered by a list of `Device`, the best first."""


class AskBaseline(Asked, frozen=True, tag_field="ask", tag="baseline"):
    """What words alone tell of the classes of a config's texts; answered by a `TextBaseline`."""

    config: Config


class AskSamples(Asked, frozen=True, tag_field="ask", tag="samples"):
    """Some samples as a person would see them; answered by `Samples`.

    The data is listed anew only where another was asked for before.
    """

    config: Config
    part: Part
    numbers: list[int]
    """Positions in the part, or among those of its samples that are of `of`; those that are not
    there are passed over."""
    of: int | None = None
    """Position of a class; None: samples of any. Passed over where samples have no class."""
    epoch: int | None = None
    """As training is given them in that epoch, augmented; None: as an evaluation is."""
    size: int = 224
    """Most pixels of a picture's side."""


Question = AskCatalogue | AskDescribe | AskDevice | AskBaseline | AskSamples


class Shown(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A sample; all texts are safe to show."""

    number: int
    """Its position in its part, whatever class was asked for."""
    name: str
    """Its file below `data.path`, or FILE:LINE."""
    labels: list[str] = []
    """Of a mask the classes that are seen in it."""
    picture: bytes = b""
    """PNG, RGB: what the model is given, before it is normalised."""
    mask: bytes = b""
    """PNG of 16 bits and of the picture's size: the position of each pixel's class plus one; 0
    does not count."""
    text: str = ""
    """Its beginning; lines may be several."""
    characters: int = 0
    """Of the whole text."""
    tokens: int | None = None
    """Of the whole text, special ones included; None where there is no tokenizer."""
    kept: int | None = None
    """Tokens that the model is given of them; None where texts are not cut."""
    problem: str = ""
    """Why it can't be shown."""


class Samples(Struct, frozen=True):
    """Some of a data set."""

    total: int
    """How many there are in the part, or of the class in it."""
    shown: list[Shown]


class TextBaseline(Struct, frozen=True):
    """What is had without a network, as figures of the validation texts by their keys."""

    commonest: str
    """The commonest class among the training texts; safe to show."""
    majority: dict[str, float]
    """Of always saying that."""
    tfidf: dict[str, float]
    """Of TF-IDF with logistic regression."""
    train: int
    """Texts that it learnt from."""
    val: int
    """Texts that it was measured on."""
    seconds: float


class Device(Struct, frozen=True):
    """A device that torch can use."""

    name: str
    """As `training.device` takes it: cpu, cuda:0, mps."""
    title: str
    """What the maker calls it."""
    memory: int | None = None
    """Bytes of its own memory; None where it shares the computer's."""


class Answer(Struct, frozen=True, omit_defaults=True):
    """Either a result, whose type the question decides, or an error."""

    id: int
    result: msgspec.Raw | UnsetType = UNSET
    """JSON of the type that the question names."""
    error: str = ""
    """A sentence for the screen."""
