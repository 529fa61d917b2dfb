"""What counts as a block of a model, on outlines of the families' trees."""

import pytest
from msgspec.structs import replace

from engine.contract.depth import parts, repeated_blocks
from engine.contract.plan import resolve
from engine.contract.rules import Rule
from engine.contract.tree import parameter_sizes
from tests.engine.contract.trees import Outline, layer, series, tree

UNIT = {"conv Conv2d": "weight", "norm BatchNorm2d": "weight bias"}
HEAD: Outline = {"head Linear": "weight bias"}


def test_a_resnet_has_its_basic_blocks_and_not_their_convolutions() -> None:
    stage = series("", "BasicBlock", 2, layer(2))
    net = tree({"stem Conv2d": "weight"} | series("layer", "Sequential", 2, stage) | HEAD)
    assert repeated_blocks(net) == ["layer0.0", "layer0.1", "layer1.0", "layer1.1"]


def test_an_efficientnet_has_blocks_that_are_alone_in_their_stage() -> None:
    """And neither its squeeze and excitation nor its units of a convolution and a norm."""
    inside: Outline = {
        "0 Conv2dNormActivation": UNIT,
        "1 SqueezeExcitation": {"fc1 Conv2d": "weight", "fc2 Conv2d": "weight"},
        "2 Conv2dNormActivation": UNIT,
    }
    block: Outline = {"block Sequential": inside}
    features: Outline = {
        "0 Conv2dNormActivation": UNIT,
        "1 Sequential": series("", "MBConv", 1, block),
        "2 Sequential": series("", "MBConv", 2, block),
        "3 Conv2dNormActivation": UNIT,
    }
    net = tree({"features Sequential": features} | HEAD)
    assert repeated_blocks(net) == ["features.1.0", "features.2.0", "features.2.1"]
    trained = [n for n, does in resolve([Rule("last:1")], net).items() if does.train]
    assert trained[0] == "features.2.1.block.0.conv.weight"
    assert {"features.3.conv.weight", "features.3.norm.bias", "head.bias"} <= set(trained)


def test_of_stages_that_hold_blocks_the_blocks_count() -> None:
    stage: Outline = {
        "blocks Sequential": series("", "SwinTransformerBlock", 2, layer(4)),
        "downsample PatchMerging": {"reduction Linear": "weight", "norm LayerNorm": "weight"},
    }
    net = tree({"layers Sequential": series("", "SwinTransformerStage", 2, stage)} | HEAD)
    blocks = [f"layers.{i}.blocks.{j}" for i in (0, 1) for j in (0, 1)]
    assert repeated_blocks(net) == blocks


def test_parts_are_the_blocks_and_what_stands_around_them_in_large_pieces() -> None:
    stem: Outline = {"stem Sequential": UNIT}
    stage = series("", "Block", 2, layer(2)) | {"merge PatchMerging": {"fc Linear": "weight"}}
    stages: Outline = {"stages Sequential": series("", "Sequential", 2, stage)}
    net = tree(stem | stages | {"norm LayerNorm": "weight bias"} | HEAD)
    found = parts(net)
    assert list(found) == [
        *("stem", "stages.0.0", "stages.0.1", "stages.0.merge"),
        *("stages.1.0", "stages.1.1", "stages.1.merge", "norm", "head"),
    ]
    assert found["stages.0.1"] == ["stages.0.1.conv0.weight", "stages.0.1.conv1.weight"]
    assert [name for names in found.values() for name in names] == list(parameter_sizes(net))


def test_a_parameter_beside_blocks_is_a_part() -> None:
    net = tree({"encoder Encoder": series("block", "Block", 2, layer(2))} | HEAD)
    modules = [replace(m, own={"position": 5}) if m.path == "encoder" else m for m in net.modules]
    found = parts(replace(net, modules=modules, root_own={"class_token": 3}))
    assert list(found) == [
        *("class_token", "encoder.position", "encoder.block0", "encoder.block1", "head")
    ]
    assert found["encoder.position"] == ["encoder.position"]


def test_branches_of_a_block_are_no_blocks() -> None:
    """ShuffleNet's are numbered Sequentials, MaxViT's are attentions with names of their own."""
    shuffle = series("branch", "Sequential", 2, layer(2))
    net = tree({"stage Sequential": series("", "InvertedResidual", 3, shuffle)} | HEAD)
    assert repeated_blocks(net) == ["stage.0", "stage.1", "stage.2"]
    maxvit: Outline = {f"{name} PartitionAttention": layer(3) for name in ("window", "grid")}
    net = tree({"stage Sequential": series("", "MaxVitLayer", 2, maxvit)} | HEAD)
    assert repeated_blocks(net) == ["stage.0", "stage.1"]


def test_a_block_of_another_type_between_blocks_counts() -> None:
    names = ("Mixed_5b InceptionA", "Mixed_5c InceptionA", "Mixed_6a InceptionB")
    net = tree({"stem Conv2d": "weight"} | {name: layer(3) for name in names} | HEAD)
    assert repeated_blocks(net) == ["Mixed_5b", "Mixed_5c", "Mixed_6a"]


def test_without_repetition_each_layer_is_a_block() -> None:
    features: Outline = {"0 Conv2d": "weight", "1 BatchNorm2d": "weight", "3 Conv2d": "weight"}
    net = tree({"features Sequential": features, "classifier Sequential": HEAD}, "classifier.head")
    assert repeated_blocks(net) == ["features.0", "features.3"]


def test_a_head_has_no_blocks_and_counts_wherever_it_stands() -> None:
    net = tree({"head Sequential": series("", "Block", 2, layer(2))} | layer(2))
    assert repeated_blocks(net) == ["conv0", "conv1"]
    found = resolve([Rule("last:1")], net)
    assert [n for n, does in found.items() if not does.train] == ["conv0.weight"]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_lies_between_two_blocks_goes_with_the_one_before(count: int) -> None:
    blocks = series("a", "Block", 2, layer(2)) | {"between Conv2d": "weight"}
    blocks |= series("b", "Block", 1, layer(2)) | {"norm LayerNorm": "weight"}
    net = tree(blocks | HEAD)
    trained = [n for n, does in resolve([Rule(f"last:{count}")], net).items() if does.train]
    assert trained[0] == f"{('b0', 'a1', 'a0')[count - 1]}.conv0.weight"
    assert ("between.weight" in trained) == (count > 1)
    assert "norm.weight" in trained
