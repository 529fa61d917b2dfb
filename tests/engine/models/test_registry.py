import pytest
import torch

from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.errors import UserError
from engine.models import SOURCES, catalogue, describe, load


def config(name: str, image_size: int | str = "auto") -> Config:
    return Config(
        task="image-classification",
        model=ModelConfig(name=name, weights="none"),
        data=DataConfig(path="unused", image_size=image_size),
    )


def test_sources_go_by_their_names() -> None:
    assert {"torchvision", "timm"} <= SOURCES.keys()
    assert all(name == source.name for name, source in SOURCES.items())


def test_the_catalogue_holds_all_sources_and_their_folders(cache) -> None:
    everything = catalogue()
    names = [entry.name for entry in everything.entries]
    assert "torchvision/resnet18" in names
    assert len(names) == len(set(names))
    assert everything.cache_folders["torchvision"] == str(cache)
    assert everything.cache_folders.keys() == SOURCES.keys()


def test_load_and_describe_go_to_the_source() -> None:
    model = load(config("torchvision/squeezenet1_1"), 7, lambda _words: None)
    assert model.info == describe("torchvision/squeezenet1_1", "none", 7)
    small = load(config("torchvision/squeezenet1_1", 64), 7, lambda _words: None)
    assert small.info.preprocessing == model.info.preprocessing.at(64)
    assert small.module(torch.rand(2, 3, 64, 64)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torchvison/resnet18", 'called "torchvison"; did you mean "torchvision"?'),
        ("xyz/resnet18", "there are torchvision and timm"),
        ("resnet18", 'called "resnet18"'),
    ],
)
def test_an_unknown_source(name: str, words: str) -> None:
    with pytest.raises(UserError) as raised:
        describe(name)
    assert words in str(raised.value)
