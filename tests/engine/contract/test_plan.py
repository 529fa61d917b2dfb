"""The freeze plan: what each parameter does under ordered rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract import match, plan
from engine.contract.errors import UserError
from engine.contract.match import Matcher
from engine.contract.plan import Assignment, resolve
from engine.contract.preprocessing import Preprocessing
from engine.contract.rules import Rule
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
        ("re:fc", ["fc.weight", "fc.bias"]),
        ("re:layer1", [n for n in NAMES if n.startswith("layer1.")]),  # all of a path, or none
        ("re:layer1.*", [n for n in NAMES if n.startswith("layer1")]),
        (r"re:layer\d+\.0", [n for n in NAMES if n.startswith("layer1")]),
        (r"re:.*\.(bn|conv)\.weight", ["layer1.0.conv.weight", "layer1.0.bn.weight"]),
        ("re:(?i)FC", ["fc.weight", "fc.bias"]),
        ("re:token|stem", ["token", "stem.weight"]),
        ("re:pool", None),
        ("re:ayer1", None),
        ("last:0", ["fc.weight", "fc.bias"]),
        ("last:1", ["layer10.0.weight", "layer10.0.bias", "fc.weight", "fc.bias"]),
        ("last:2", [n for n in NAMES if n not in ("token", "stem.weight")]),
        ("last:3", [n for n in NAMES if n != "token"]),
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
        ("layer10.1.*", 'did you mean "layer10.0" or "layer10'),
        (r"re:layer1\.0\.bm.*", 'did you mean "layer1.0.bn"'),
        ("type:linear", 'did you mean "type:Linear"'),
        ("type:AvgPool2d", "its types are Conv2d"),  # such as hold a parameter
        ("zzzzz", "its top-level modules are stem, layer1, layer10, fc."),
        ("re:zzzzz", "its top-level modules are stem, layer1, layer10, fc."),
        ("type:zzzzz", "its types are Conv2d, Sequential, Block, BatchNorm2d, Linear."),
    ],
)
def test_a_pattern_that_takes_nothing_is_a_sentence(pattern: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        train(pattern)
    assert f'"{pattern}" matches no parameter of test/net' in str(caught.value)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("re:(fc", '"re:(fc" is not a regular expression (missing ), unterminated'),
        ("re:a{99999999999999999999}", "is not a regular expression (the repetition number"),
        ("last:", '"last:" is not a number of blocks; write "last:2"'),
        ("last:-1", '"last:-1" is not a number of blocks'),
        ("last:4", '"last:4" asks for more than the 3 blocks of test/net; "*" takes'),
    ],
)
def test_a_pattern_that_makes_no_sense_is_a_sentence(pattern: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        train(pattern)
    assert sentence in str(caught.value)


def test_what_the_app_writes_needs_no_regular_expression(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree of 20,000 modules resolves within a key press; see `tests.benchmarks.tree_keys`."""
    monkeypatch.setattr(match, "_glob", None)
    assert trained(Rule("*"), Rule(plan.literal("layer1"), train=False), Rule("stem"))


def test_a_rule_decides_all_of_what_it_matches() -> None:
    rules = [Rule("*", weight_decay=0.1), Rule("layer1", reinit=True), Rule("fc", weight_decay=0)]
    found = resolve(rules, MODEL)
    assert found["token"] == Assignment(True, weight_decay=0.1)
    assert found["layer1.0.bn.bias"] == Assignment(True, reinit=True)
    assert found["fc.bias"] == Assignment(True, weight_decay=0.0)


def test_trainable_parameters_are_elements() -> None:
    assert plan.trainable_parameters(resolve([Rule("fc")], MODEL), MODEL) == 55
    assert plan.trainable_parameters(resolve([Rule("*")], MODEL), MODEL) == MODEL.total_parameters


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
    assert list(Matcher(odd).take(plan.literal("a[0]*"))) == ["a[0]*.w"]


PATTERNS = st.sampled_from(
    [
        *("*", "fc", "layer1", "layer1.0", "layer1.0.bn", "layer10", "layer1*", "*.bias"),
        *("token", "stem", "layer1.0.conv.weight", "type:Linear", "type:Block"),
        *("re:layer1", r"re:.*\.bn\..*", "last:1", "last:2"),
    ]
)
RULES = st.builds(
    Rule,
    PATTERNS,
    st.booleans(),
    st.sampled_from([0.1, 1.0]),
    st.sampled_from([None, 0.0, 0.1]),
    st.booleans(),
)


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
