"""Named methods on outlines of models: the rules that they write, and what they refuse."""

import pytest

from engine.contract import toml
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.errors import UserError
from engine.contract.methods import METHODS, auto_rgn, bitfit, last_blocks, norm_only
from engine.contract.plan import FREEZE_ALL, head_only, resolve
from engine.contract.rules import Rule
from engine.contract.tree import ModelInfo
from tests.engine.contract.trees import Outline, layer, series, tree

ATTENTION: Outline = {"qkv Linear": "weight q_bias", "proj Linear": "weight bias"}
BLOCK: Outline = {"norm LayerNorm": "weight bias", "attn WindowAttention": ATTENTION}
HEAD: Outline = {"head Linear": "weight bias"}
PLAIN = tree({"body Conv2d": "weight"} | HEAD)
TRANSFORMER = tree(
    {"stem Conv2dNormActivation": {"0 Conv2d": "weight", "1 BatchNorm2d": "weight bias"}}
    | series("stage", "Sequential", 2, series("", "AttentionBlock", 2, BLOCK))
    | {"fc_norm LayerNorm": "weight bias"}
    | HEAD
)


def trained(name: str) -> set[str]:
    found = resolve(METHODS[name].rules(TRANSFORMER), TRANSFORMER)
    return {name for name, does in found.items() if does.train}


def each(*names: str) -> set[str]:
    """These of each block, and the head."""
    blocks = [f"stage{i}.{j}" for i in (0, 1) for j in (0, 1)]
    return {f"{block}.{name}" for block in blocks for name in names} | {"head.weight", "head.bias"}


BIASES = each("norm.bias", "attn.qkv.q_bias", "attn.proj.bias") | {"stem.1.bias", "fc_norm.bias"}
NORMS = each("norm.weight", "norm.bias")
NORMS |= {f"{norm}.{name}" for norm in ("stem.1", "fc_norm") for name in ("weight", "bias")}


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("linear-probe", {"head.weight", "head.bias"}),
        ("bitfit", BIASES),
        ("norm-only", NORMS),  # not the convolution of a Conv2dNormActivation
        ("norms-and-biases", BIASES | NORMS),
        # not the norm of an AttentionBlock
        (
            "attention-only",
            each("attn.qkv.weight", "attn.qkv.q_bias", "attn.proj.weight", "attn.proj.bias"),
        ),
    ],
)
def test_what_a_method_trains(name: str, names: set[str]) -> None:
    assert trained(name) == names


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("linear-probe", [FREEZE_ALL, Rule("head")]),
        ("last-2", [FREEZE_ALL, Rule("last:2")]),
        ("full", [Rule("*")]),
        ("bitfit", [FREEZE_ALL, Rule("head"), Rule("*.bias"), Rule("*.q_bias")]),
        ("attention-only", [FREEZE_ALL, Rule("head"), Rule("type:WindowAttention")]),
        (
            "layer-decay",
            [
                Rule("*", lr_scale=0.237305),
                Rule("last:4", lr_scale=0.316406),
                Rule("last:3", lr_scale=0.421875),
                Rule("last:2", lr_scale=0.5625),
                Rule("last:1", lr_scale=0.75),
                Rule("head"),
            ],
        ),
        (
            "lora",
            [FREEZE_ALL, Rule("type:Conv2d", lora=8), Rule("type:Linear", lora=8), Rule("head")],
        ),
        (
            "discriminative",
            [
                Rule("*", lr_scale=0.0568958),  # 1 / 2.6 ** 3
                Rule("last:4", lr_scale=0.147929),
                Rule("last:2", lr_scale=0.384615),
                Rule("head"),
            ],
        ),
    ],
)
def test_the_rules_a_method_writes(name: str, rules: list[Rule]) -> None:
    assert METHODS[name].rules(TRANSFORMER) == rules


NOT_FOR_PLAIN = {"last-2", "norm-only", "bitfit", "attention-only"}
FITTING = [(PLAIN, name) for name in METHODS if name not in NOT_FOR_PLAIN]
FITTING += [(TRANSFORMER, name) for name in METHODS]


@pytest.mark.parametrize(("model", "name"), FITTING)
def test_each_plan_trains_the_head_and_is_text(model: ModelInfo, name: str) -> None:
    rules = METHODS[name].rules(model)
    assert resolve(rules, model)["head.weight"].train
    asked = Config(
        "image-classification", ModelConfig("test/net"), DataConfig("x"), trainable=rules
    )
    assert toml.parse(toml.dump(asked)).trainable == rules


def test_a_method_that_does_not_fit_is_a_sentence() -> None:
    with pytest.raises(UserError, match="no biases outside its head"):
        bitfit(PLAIN)
    with pytest.raises(UserError, match="no normalisation layers"):
        norm_only(PLAIN)
    with pytest.raises(UserError, match="has no attention layers; this method is for transformers"):
        METHODS["attention-only"].rules(PLAIN)
    with pytest.raises(UserError, match="has no layer for an adapter outside its head"):
        METHODS["lora"].rules(tree(HEAD))
    with pytest.raises(UserError, match="has fewer than 2 blocks before its head"):
        last_blocks(PLAIN, 2)
    assert METHODS["norms-and-biases"].rules(PLAIN) == head_only(PLAIN)


def test_labels_differ_and_each_has_a_line_of_help() -> None:
    assert len({method.label for method in METHODS.values()}) == len(METHODS)
    for method in METHODS.values():
        assert method.help
        assert "\n" not in method.help


def test_a_block_that_only_holds_attention_is_none() -> None:
    """A MaxViT layer of partition attention holds an MLP too."""
    part: Outline = {"attn Attention": ATTENTION, "mlp MLP": layer(2)}
    net = tree(series("", "PartitionAttention", 2, part) | HEAD)
    found = resolve(METHODS["attention-only"].rules(net), net)
    assert not any(does.train for name, does in found.items() if ".mlp." in name)


def test_auto_rgn_gives_rates_in_proportion_and_the_head_the_full_one() -> None:
    norms = {"stem": 0.2, "stage0.0": 0.5, "stage0.1": 0.05, "stage1.0": 0.0, "head": 90.0}
    found = resolve(auto_rgn(TRANSFORMER, norms), TRANSFORMER)
    assert all(does.train for does in found.values())
    rates = {name: does.lr_scale for name, does in found.items() if name.endswith("weight")}
    assert rates["stem.0.weight"] == 0.4
    assert rates["stage0.0.norm.weight"] == 1.0
    assert rates["stage0.1.attn.proj.weight"] == 0.1
    assert rates["stage1.0.norm.weight"] == 0.0
    assert rates["head.weight"] == 1.0
    assert rates["stage1.1.norm.weight"] == 1.0, "it was not measured"


def test_auto_rgn_without_any_gradient_trains_the_head() -> None:
    rules = auto_rgn(PLAIN, {"body": 0.0, "head": 0.0})
    assert {n: does.lr_scale for n, does in resolve(rules, PLAIN).items()} == {
        "body.weight": 0.0,
        "head.weight": 1.0,
        "head.bias": 1.0,
    }
