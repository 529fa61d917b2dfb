"""Which names a query finds, and in which order."""

import pytest

from ftui.search import Finder

NAMES = [
    "torchvision/resnet101",
    "torchvision/resnet18",
    "torchvision/resnet50",
    "torchvision/wide_resnet50_2",
    "torchvision/convnext_tiny",
    "timm/resnet50",
    "timm/tf_efficientnet_lite0",
    "timm/convnext_tiny_hnf",
    "timm/efficientnet_b0",
]


def found(query: str) -> list[str]:
    return [NAMES[index] for index in Finder(NAMES).find(query)]


def test_no_query_finds_all_sources_in_order_and_numbers_as_numbers() -> None:
    assert sorted(found("")) == sorted(NAMES)
    assert found("")[1:4] == [
        "torchvision/resnet18",
        "torchvision/resnet50",
        "torchvision/resnet101",
    ]
    assert found("")[-1].startswith("timm/")


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("resnet50", "torchvision/resnet50"),
        ("timm resnet50", "timm/resnet50"),
        ("ReSNet5", "torchvision/resnet50"),
        ("rn50", "torchvision/resnet50"),
        ("lite", "timm/tf_efficientnet_lite0"),
        ("eff b0", "timm/efficientnet_b0"),
        ("tiny conv", "torchvision/convnext_tiny"),
    ],
)
def test_the_best_comes_first(query: str, first: str) -> None:
    assert found(query)[0] == first


def test_the_name_itself_beats_a_longer_name_and_a_part_of_a_name() -> None:
    names = found("resnet50")
    assert names[:3] == [
        "torchvision/resnet50",
        "timm/resnet50",
        "torchvision/wide_resnet50_2",
    ]


@pytest.mark.parametrize("query", ["zzz", "resnet50 zzz", "05tenser", "(["])
def test_every_word_must_be_found(query: str) -> None:
    assert found(query) == []
