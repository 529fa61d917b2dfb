"""Which layers a plan gives adapters, what they train, and what makes no sense."""

import pytest

from engine.contract import adapters
from engine.contract.errors import UserError
from engine.contract.plan import Assignment, resolve, trainable_parameters
from engine.contract.preprocessing import Preprocessing
from engine.contract.rules import Rule
from engine.contract.tree import ModelInfo, ModuleInfo

MODEL = ModelInfo(
    "test/net",
    modules=[
        ModuleInfo("stem", "Conv2d", {"weight": 10 * 27, "bias": 10}, (10, 27)),
        ModuleInfo("norm", "BatchNorm2d", {"weight": 10, "bias": 10}),
        ModuleInfo("depthwise", "Conv2d", {"weight": 90}),
        ModuleInfo("attention", "MultiheadAttention", {"in_proj_weight": 300, "in_proj_bias": 30}),
        ModuleInfo("attention.out", "Linear", {"weight": 100, "bias": 10}, (10, 10)),
        ModuleInfo("head", "Linear", {"weight": 50, "bias": 5}, (5, 10)),
    ],
    head=["head"],
    preprocessing=Preprocessing(),
    root_own={"token": 7},
)


def adapted(*rules: Rule) -> dict[str, int]:
    return {name: says.lora for name, says in resolve(rules, MODEL).items() if says.lora}


def trains(*rules: Rule) -> int:
    return trainable_parameters(resolve(rules, MODEL), MODEL)


def test_each_layer_that_can_gets_one_and_nothing_else_of_what_matches_trains() -> None:
    found = resolve([Rule("*"), Rule("*", lora=2, dora=True, lr_scale=0.5)], MODEL)
    weights = {"stem.weight", "attention.out.weight", "head.weight"}
    assert {name for name, says in found.items() if says.lora} == weights
    assert found["head.weight"] == Assignment(train=False, lr_scale=0.5, lora=2, dora=True)
    assert not any(says.train for says in found.values())


def test_the_last_rule_that_matches_decides() -> None:
    assert adapted(Rule("*", lora=2), Rule("head"), Rule("attention", lora=4)) == {
        "stem.weight": 2,
        "attention.out.weight": 4,
    }
    found = resolve([Rule("*", lora=2), Rule("*.bias")], MODEL)
    assert found["stem.weight"].lora == 2
    assert found["stem.bias"].train
    assert adapted(Rule("*", lora=2), Rule("*", train=False)) == {}


def test_counts_are_those_of_both_factors_and_of_the_magnitudes() -> None:
    assert adapters.size((10, 27), 4, dora=False) == 4 * 27 + 10 * 4
    assert adapters.size((10, 27), 4, dora=True) == 4 * 27 + 10 * 4 + 10
    assert trains(Rule("stem", lora=3)) == 3 * (10 + 27)
    assert trains(Rule("*", lora=1, dora=True), Rule("head")) == 55 + 37 + 10 + 20 + 10


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Rule("*", train=False, lora=2), "lora and train = false; an adapter trains, so drop one"),
        (Rule("*", lora=2, reinit=True), "lora and reinit; an adapter keeps the weights, so drop"),
        (Rule("*", dora=True), "has dora without a rank; add one, such as lora = 8"),
        (Rule("type:Batch*", lora=2), '"type:Batch.*matches no Linear or Conv2d layer of test/net'),
        (Rule("depthwise", lora=2), "that can have an adapter; grouped and dilated"),
        (Rule("head.bias", lora=2), "matches no Linear or Conv2d layer"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(rule: Rule, said: str) -> None:
    with pytest.raises(UserError, match=said):
        resolve([Rule("*"), rule], MODEL)


def test_layers_that_go_without_are_named() -> None:
    told = adapters.left_out([Rule("*", lora=2), Rule("head")], MODEL)
    assert told.startswith("No adapter fits 1 Conv2d and 1 MultiheadAttention, which stay frozen: ")
    without_attention = [Rule("*", lora=2), Rule("attention")]
    assert "fits 1 Conv2d, which" in adapters.left_out(without_attention, MODEL)
    assert adapters.left_out([Rule("*"), Rule("stem", lora=2)], MODEL) == ""
