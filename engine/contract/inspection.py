"""Questions to the helper process that knows torch, and its answers: one JSON object a line."""

from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from engine.contract.baseline import Baseline
from engine.contract.config import Config
from engine.contract.events import FileSkipped

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
    pooling: str = "auto"
    """As `text.pooling`."""


class AskDevice(Asked, frozen=True, tag_field="ask", tag="device"):
    """Where torch can train; answered by a list of `Device`, the best first."""


class AskBaseline(Asked, frozen=True, tag_field="ask", tag="baseline"):
    """What words alone tell of the classes of a config's texts; answered by a `TextBaseline`."""

    config: Config


class AskCost(Asked, frozen=True, tag_field="ask", tag="cost"):
    """What a step of a config costs; answered by a `Cost`. The data is not looked at."""

    config: Config
    classes: int | None = None
    """None: as many as the published head has."""
    pieces: int = 1
    """Into how many a batch is cut."""


class Which(Struct, frozen=True):
    """Which samples, and as what."""

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


class AskSamples(Asked, frozen=True, tag_field="ask", tag="samples"):
    """Some samples as a person would see them; answered by `Samples`.

    The data is listed anew only where another was asked for before.
    """

    config: Config
    which: Which


class AskData(Asked, frozen=True, tag_field="ask", tag="data"):
    """What the data is; listed anew, and answered by an `Overview`."""

    config: Config


class AskScan(Asked, frozen=True, tag_field="ask", tag="scan"):
    """Look at more of the samples for a while; answered by a `Scan` of all that were looked at
    since `AskData`. Asked again until it is done, so that other questions get their turn."""

    config: Config
    seconds: float = 0.5


Question = (
    AskCatalogue | AskDescribe | AskDevice | AskBaseline | AskCost | AskSamples | AskData | AskScan
)


class Blocks(Struct, frozen=True):
    """What a language model is given of documents."""

    length: int
    """Tokens of each."""
    train: int
    val: int


class Ends(Struct, frozen=True):
    """What is held out where each document's end is, of all documents together."""

    held_out: int
    total: int
    in_tokens: bool
    """Else in characters: there is no tokenizer, or very much text."""


class Overview(Struct, frozen=True, kw_only=True):
    """A data set, listed and split; all texts are safe to show."""

    classes: list[str]
    """Empty where samples have none."""
    train_counts: list[int]
    """Samples of each class: of masks, pictures that show it."""
    val_counts: list[int]
    train: int
    """Samples in all."""
    val: int
    held_out: bool
    """Whether the validation part was held out; else it was there."""
    pixels: list[int] = []
    """Of each class in the training masks; empty where samples aren't masks."""
    ends: Ends | None = None
    """Where so few documents are held out that it is the end of each."""
    blocks: Blocks | None = None
    baseline: Baseline | None
    """What comes of the classes' frequencies alone; None where it takes tokens."""
    skipped: int
    """Files and rows that can't be used."""
    first_skipped: list[FileSkipped]
    remarks: list[str]
    """What the user should know, in sentences."""


class Twins(Struct, frozen=True):
    """Two samples that are the same, or nearly, by name."""

    train: str
    val: str


class Copy(Struct, frozen=True):
    """A sample that repeats an earlier one of the same side, by name."""

    first: str
    again: str


class Lengths(Struct, frozen=True):
    """Of texts, in tokens, or in characters where there is no tokenizer."""

    in_tokens: bool
    median: int
    most: int
    """That 95 % of the texts have at most."""
    longest: int
    limit: int | None
    """Tokens after which texts are cut; None where none is."""
    cut: int
    """How many are."""


class Scan(Struct, frozen=True, kw_only=True):
    """What looking at the samples one by one tells."""

    looked: int
    wanted: int
    """How many will have been looked at once it is done."""
    total: int
    train_copies: int
    """Samples that repeat an earlier one of the same side."""
    val_copies: int
    first_copies: list[Copy]
    """Of both."""
    same: int
    """Validation samples that are training samples, too: of texts but for case and spaces."""
    first_same: list[Twins]
    compared: int = 0
    """Validation samples that were compared with all training samples, for near copies."""
    to_compare: int = 0
    """How many will have been; known once all were looked at."""
    near: int
    """Validation samples that nearly are."""
    first_near: list[Twins]
    broken: int
    """Pictures whose header is fine and whose pixels can't be read."""
    first_broken: list[FileSkipped]
    lengths: Lengths | None

    @property
    def done(self) -> bool:
        return self.looked == self.wanted and self.compared == self.to_compare


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
    """Either a result, whose type the question decides, or an error, or what goes on until then."""

    id: int
    result: msgspec.Raw | UnsetType = UNSET
    """JSON of the type that the question names."""
    error: str = ""
    """A sentence for the screen."""
    doing: str = ""
    """Words for the screen; more is to come."""
