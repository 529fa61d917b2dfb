"""Questions to the helper process that knows torch, and its answers: one JSON object a line."""

import msgspec
from msgspec import UNSET, Struct, UnsetType

from engine.contract.config import Config


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


Question = AskCatalogue | AskDescribe | AskDevice | AskBaseline


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
