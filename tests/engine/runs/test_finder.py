"""The client of the process that searches."""

import os
from contextlib import aclosing
from pathlib import Path

import pytest
from PIL import Image

from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.errors import UserError
from engine.contract.events import PreparationAdvanced
from engine.contract.finding import Finding, FindRate, FindSize, RateTried, SizeTried, Suggested
from engine.contract.rules import Rule
from engine.contract.training_tables import OptimizerConfig, RegularisationConfig
from engine.runs import finder


def asked(path: object, **tables: object) -> Config:
    model, data = (
        ModelConfig("torchvision/squeezenet1_1", "none"),
        DataConfig(str(path), 32, workers=0),
    )
    return Config("image-classification", model, data, **tables)  # type: ignore[arg-type]


def pid(told: Finding) -> int:
    assert isinstance(told, PreparationAdvanced)
    return int(told.stage)


async def test_it_tells_up_to_the_suggestion_and_the_process_ends_with_it() -> None:
    told = [x async for x in finder.find(FindRate(asked("fine")), "finds")]
    assert told[1:] == [
        RateTried(lr=0.1, loss=None),
        Suggested(value=0.01, why="", seconds=1.0),
    ]
    with pytest.raises(ProcessLookupError):
        os.kill(pid(told[0]), 0)


async def test_whoever_leaves_it_ends_the_process() -> None:
    async with aclosing(finder.find(FindRate(asked("waits")), "finds")) as findings:
        async for told in findings:
            process = pid(told)
            break
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("refused", "^There is no data.$"),
        ("complains", "^The search died: Cannot allocate.$"),
        ("killed", "for want of memory"),
    ],
)
async def test_how_it_failed_is_a_sentence(path: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        [x async for x in finder.find(FindSize(asked(path)), "finds")]


@pytest.mark.slow
async def test_the_real_process(tmp_path: Path) -> None:
    for number in range(48):
        place = tmp_path / "pictures" / "ab"[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (5 * number, 0, 0)).save(place)
    config = asked(
        tmp_path / "pictures",
        trainable=[Rule("*")],
        optimizer=OptimizerConfig(name="adamw"),
        regularisation=RegularisationConfig(ema=0.9),
    )
    before = {*tmp_path.rglob("*")}
    *told, found = [x async for x in finder.find(FindSize(config))]
    assert [x.size for x in told if isinstance(x, SizeTried)] == [2, 4, 8]
    assert isinstance(found, Suggested)
    assert found.value in (2, 4, 8)
    assert {*tmp_path.rglob("*")} == before
