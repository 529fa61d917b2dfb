"""The freeze plan: what each parameter does under ordered rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract import plan
from engine.contract.config import Rule
from engine.contract.errors import UserError
from engine.contract.plan import Assignment, resolve
from engine.contract.preprocessing import Preprocessing
from engine.contract.tree import (
    ModelInfo,
    ModuleInfo,
    blocks,
    parameter_owners,
    parameter_sizes,
    subtree_parameters,
)

MODEL = ModelInfo(
    "test/net",
    modules=[
        ModuleInfo("stem", "Conv2d", {"weight": 10}),
        ModuleInfo("layer1", "Sequential"),
        ModuleInfo("layer1.0", "Block"),
        ModuleInfo("layer1.0.conv", "Conv2d", {"weight": 20, "bias": 2}),
        ModuleInfo("layer1.0.bn", "BatchNorm2d", {"weight": 3, "bias": 3}),
        ModuleInfo("layer10", "Sequential"),
        ModuleInfo("layer10.0", "Linear", {"weight": 40, "bias": 4}),
        ModuleInfo("pool", "AvgPool2d"),
        ModuleInfo("fc", "Linear", {"weight": 50, "bias": 5}),
    ],
    head=["fc"],
    preprocessing=Preprocessing(),
    root_own={"token": 7},
)
NAMES = list(parameter_sizes(MODEL))


def trained(*rules: Rule) -> list[str]:
    return [name for name, does in resolve(rules, MODEL).items() if does.train]


def train(*patterns: str) -> list[str]:
    return trained(*(Rule(pattern) for pattern in patterns))


def test_without_rules_everything_is_frozen() -> None:
    assert resolve([], MODEL) == dict.fromkeys(NAMES, Assignment(train=False))


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*", NAMES),
        ("fc", ["fc.weight", "fc.bias"]),
        ("fc.bias", ["fc.bias"]),
        ("token", ["token"]),
        ("layer1", [n for n in NAMES if n.startswith("layer1.")]),  # not layer10
        ("layer1*", [n for n in NAMES if n.startswith("layer1")]),
        ("layer?", [n for n in NAMES if n.startswith("layer1.")]),
        ("layer1.*.bn", ["layer1.0.bn.weight", "layer1.0.bn.bias"]),
        ("*.bias", [n for n in NAMES if n.endswith(".bias")]),
        ("layer[2-9]*|fc", None),
        ("type:Linear", ["layer10.0.weight", "layer10.0.bias", "fc.weight", "fc.bias"]),
        ("type:Block", [n for n in NAMES if n.startswith("layer1.")]),  # with all below
        ("type:*Norm*", ["layer1.0.bn.weight", "layer1.0.bn.bias"]),
        ("type:AvgPool2d", None),  # holds no parameter
        ("type:token", None),
        ("pool", None),
        ("Linear", None),
        ("FC", None),
    ],
)
def test_what_a_pattern_takes(pattern: str, names: list[str] | None) -> None:
    if names is None:
        with pytest.raises(UserError, match="matches no parameter"):
            train(pattern)
    else:
        assert train(pattern) == names


def test_the_last_match_wins() -> None:
    rules = [Rule("*"), Rule("layer1", train=False), Rule("layer1.0.bn", lr_scale=0.1)]
    found = resolve(rules, MODEL)
    assert found["stem.weight"] == Assignment(True, 1.0)
    assert found["layer1.0.conv.weight"] == Assignment(False, 1.0)
    assert found["layer1.0.bn.bias"] == Assignment(True, 0.1)
    assert trained(*reversed(rules)) == NAMES


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("layer2", 'did you mean "layer1" or "layer10"'),
        ("fcc", 'did you mean "fc"'),
        ("type:linear", 'did you mean "type:Linear"'),
        ("zzzzz", "its top-level modules are stem, layer1, layer10, fc."),
    ],
)
def test_a_pattern_that_takes_nothing_is_a_sentence(pattern: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        train(pattern)
    assert f'"{pattern}" matches no parameter of test/net' in str(caught.value)
    assert hint in str(caught.value)


def test_trainable_parameters_are_elements() -> None:
    assert plan.trainable_parameters(resolve([Rule("fc")], MODEL), MODEL) == 55
    assert plan.trainable_parameters(resolve([Rule("*")], MODEL), MODEL) == MODEL.total_parameters


@pytest.mark.parametrize(
    ("preset", "names"),
    [
        ("head", ["fc.weight", "fc.bias"]),
        ("last block", ["layer10.0.weight", "layer10.0.bias", "fc.weight", "fc.bias"]),
        ("all", NAMES),
        (
            "norms and biases",
            [n for n in NAMES if n.endswith(".bias") or ".bn." in n or n.startswith("fc.")],
        ),
    ],
)
def test_presets(preset: str, names: list[str]) -> None:
    assert sorted(trained(*plan.PRESETS[preset](MODEL))) == sorted(names)


def test_a_preset_with_nothing_to_take_still_resolves() -> None:
    """A model without norms or biases, as VGG has no norms."""
    bare = ModelInfo(
        "test/bare", [ModuleInfo("fc", "Linear", {"weight": 5})], ["fc"], Preprocessing()
    )
    for preset in plan.PRESETS.values():
        assert resolve(preset(bare), bare)["fc.weight"].train


def test_no_rule_at_all_trains_the_head() -> None:
    assert plan.effective([], MODEL) == plan.head_only(MODEL)
    assert plan.effective([Rule("*")], MODEL) == [Rule("*")]


def test_a_literal_takes_only_itself() -> None:
    odd = ModelInfo(
        "test/odd",
        [ModuleInfo("a[0]*", "X", {"w": 1}), ModuleInfo("a0x", "X", {"w": 1})],
        [],
        Preprocessing(),
    )
    assert plan.matching(plan.literal("a[0]*"), odd) == {"a[0]*.w"}


PATTERNS = st.sampled_from(
    [
        *("*", "fc", "layer1", "layer1.0", "layer1.0.bn", "layer10", "layer1*", "*.bias"),
        *("token", "stem", "layer1.0.conv.weight", "type:Linear", "type:Block"),
    ]
)
RULES = st.builds(Rule, PATTERNS, st.booleans(), st.sampled_from([0.1, 1.0]))


@given(rules=st.lists(RULES, max_size=6), rule=RULES)
def test_dropping_dead_rules_changes_nothing(rules: list[Rule], rule: Rule) -> None:
    shortened = plan.with_rule(rules, rule)
    assert shortened[-1] == rule
    assert resolve(shortened, MODEL) == resolve([*rules, rule], MODEL)


def test_toggling_for_hours_does_not_grow_the_plan() -> None:
    rules = plan.head_only(MODEL)
    for n in range(100):
        rules = plan.with_rule(rules, Rule("layer1.0.bn", train=bool(n % 2)))
        rules = plan.with_rule(rules, Rule("layer1", train=bool(n % 2)))
    assert len(rules) == 3


def test_the_tree_adds_up() -> None:
    totals = subtree_parameters(MODEL)
    assert (totals["layer1"], totals["layer1.0"], totals["pool"]) == (28, 28, 0)
    assert sum(totals[path] for path in blocks(MODEL)) + 7 == MODEL.total_parameters == 144
    assert blocks(MODEL) == ["stem", "layer1", "layer10", "fc"]


def test_every_parameter_has_an_owner() -> None:
    owners = parameter_owners(MODEL)
    assert list(owners) == NAMES
    assert owners["token"] is None
    owner = owners["layer1.0.bn.bias"]
    assert owner
    assert owner.type == "BatchNorm2d"
