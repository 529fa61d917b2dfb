"""What a model makes of samples before they are numbers, found out when the first is looked at."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from engine import models
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.inspection import NO_MODEL
from engine.contract.paths import expand
from engine.contract.preprocessing import Preprocessing
from engine.contract.text import plain
from engine.data.likeness import Likeness, of_file
from engine.data.packed import PackedPaths
from engine.data.preview import Reader
from engine.models.source import preprocessing

Pictures = TypeVar("Pictures")


def pictures(
    config: Config, classes: int, of: Callable[[Preprocessing, int], Pictures]
) -> Callable[[], Pictures]:
    """`of` of the preprocessing of the model for so many classes, and the seed; without a model,
    of the usual preprocessing."""

    @cache
    def made() -> Pictures:
        return of(evaluated(config, classes), config.training.seed)

    return made


def evaluated(config: Config, classes: int | None = None) -> Preprocessing:
    """What an evaluation makes of a picture, by a model for so many classes where they are known.
    Raises `UserError` where it can't be asked."""
    model, size = config.model, config.data.image_size
    if model.name == NO_MODEL:
        return Preprocessing() if size == "auto" else Preprocessing().at(size)
    info = models.describe(model.name, model.weights, classes, config.task)
    return preprocessing(info, config)


def reader(
    config: Config, longest: Callable[[int | None], int] | None = None
) -> Callable[[], Reader]:
    """How the config's model reads; `longest` gives the tokens of a text from its positions.

    No weights are downloaded for it.
    """

    @cache
    def made() -> Reader:
        if config.model.name == NO_MODEL:
            return Reader()
        unfilled = replace(config.model, weights="none")
        light = config.model.weights == "DEFAULT"
        try:
            language = models.language(
                replace(config, model=unfilled) if light else config, lambda _: None
            )
            most = longest(language.positions) if longest else None
        except UserError as error:
            return Reader(problem=str(error))
        return Reader(language.tokenizer, most, positions=language.positions)

    return made


def below(config: Config) -> Callable[[str | Path], str]:
    """Names a file, or a line of it, by where it lies below `data.path`; safe to show."""
    root = expand(config.data.path)
    folders = [str(folder) + "/" for folder in (root, root.parent, root.absolute().parent)]

    def name(path: str | Path) -> str:
        text = str(path)
        start = next((folder for folder in folders if text.startswith(folder)), "")
        return plain(text.removeprefix(start), 4096)

    return name


def files(
    config: Config, paths: Sequence[Path]
) -> tuple[Callable[[int], str], Callable[[int], Likeness]]:
    """Names of files by their number, and what pictures in them are told apart by."""
    packed, name = PackedPaths(paths), below(config)
    return (lambda number: name(packed[number])), (lambda number: of_file(packed[number]))
