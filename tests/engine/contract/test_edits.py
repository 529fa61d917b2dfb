"""Changes of a plan by hand: what they do to each parameter, and in how few rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.contract.adapters import adaptable
from engine.contract.edits import Adapt, Edit, Multiply, Reinitialise, SetScale, Train, edited
from engine.contract.match import Matcher
from engine.contract.methods import layer_decay
from engine.contract.plan import FREEZE_ALL, TRAIN_ALL, head_only, literal, resolve
from engine.contract.rules import Rule
from engine.contract.tree import ModelInfo, parameter_sizes
from tests.engine.contract.test_plan import MODEL as PLAIN
from tests.ui.scripted import resnet18

SHAPES = {"stem": (5, 2), "layer1.0.conv": (4, 5), "layer10.0": (8, 5), "fc": (10, 5)}
MODEL = replace(PLAIN, modules=[replace(m, adaptable=SHAPES.get(m.path)) for m in PLAIN.modules])
NET = resnet18()
PROBE = head_only(NET)


def says(rules: list[Rule], model: ModelInfo) -> dict[str, Rule]:
    """What decides each parameter, resolved the plain way; adapters only where one fits."""
    matcher = Matcher(model)
    found = dict.fromkeys(matcher.names, FREEZE_ALL)
    for rule in rules:
        found |= dict.fromkeys(matcher.take(rule.match), replace(rule, match="*"))
    fitting = adaptable(model)
    return {n: FREEZE_ALL if s.lora and n not in fitting else s for n, s in found.items()}


@pytest.mark.parametrize(
    ("rules", "path", "edit", "expected"),
    [
        # a module of one piece is one rule, and what is not spoken of stays
        (PROBE, "layer4", Train(True), [*PROBE, Rule("layer4")]),
        (PROBE, "fc", Train(False), [FREEZE_ALL, Rule("fc", train=False)]),
        (PROBE, "fc", SetScale(0.1), [FREEZE_ALL, Rule("fc", lr_scale=0.1)]),
        (PROBE, "layer4", SetScale(0.1), [*PROBE, Rule("layer4", lr_scale=0.1)]),  # it thaws
        ([Rule("*", lr_scale=0.3)], "", Multiply(0.1), [Rule("*", lr_scale=0.03)]),
        (
            [Rule("*", lr_scale=0.3, weight_decay=0.1)],
            "fc",
            Reinitialise(True),
            [
                Rule("*", lr_scale=0.3, weight_decay=0.1),
                Rule("fc", lr_scale=0.3, weight_decay=0.1, reinit=True),
            ],
        ),
        ([TRAIN_ALL, Rule("fc", reinit=True)], "fc", Reinitialise(False), [TRAIN_ALL, Rule("fc")]),
        ([Rule("*", lr_scale=0.3)], "layer4", Train(True), [Rule("*", lr_scale=0.3)]),  # it does
        # a frozen module keeps its rate for when it thaws, but not the promise of new weights
        (
            [TRAIN_ALL, Rule("fc", lr_scale=0.3, reinit=True)],
            "fc",
            Train(False),
            [TRAIN_ALL, Rule("fc", train=False, lr_scale=0.3)],
        ),
        # all of a mixed module is one rule again where that is what it becomes
        (PROBE, "", Train(True), [TRAIN_ALL]),
        (PROBE, "", Train(False), [FREEZE_ALL]),
        # a change of what trains leaves alone what is frozen
        (PROBE, "", SetScale(0.5), [FREEZE_ALL, Rule("fc", lr_scale=0.5)]),
        (PROBE, "", Multiply(2.0), [FREEZE_ALL, Rule("fc", lr_scale=2.0)]),
        (PROBE, "layer4", Multiply(2.0), PROBE),
        # adapters: the head stays as it was, and what they stood on stays frozen
        (PROBE, "layer4", Adapt(8), [*PROBE, Rule("layer4", lora=8)]),
        (PROBE, "", Adapt(8), [Rule("*", lora=8), Rule("fc")]),
        ([*PROBE, Rule("layer4", lora=8)], "layer4", Adapt(16, True),
         [*PROBE, Rule("layer4", lora=16, dora=True)]),
        ([*PROBE, Rule("layer4", lora=8)], "layer4", Adapt(0),
         [*PROBE, Rule("layer4", train=False)]),
        ([*PROBE, Rule("layer4", lora=8)], "layer4", SetScale(0.1),
         [*PROBE, Rule("layer4", lr_scale=0.1, lora=8)]),
        ([*PROBE, Rule("layer4", lora=8)], "layer4", Train(True), [*PROBE, Rule("layer4")]),
        ([*PROBE, Rule("layer4", lora=8)], "layer4.1.bn1", SetScale(0.1),
         [*PROBE, Rule("layer4", lora=8), Rule("layer4.1.bn1", lr_scale=0.1)]),
        ([*PROBE, Rule("layer4", lora=8)], "layer4.1.conv1", Train(True),
         [*PROBE, Rule("layer4", lora=8), Rule("layer4.1.conv1")]),
        ([*PROBE, Rule("layer4", lora=8)], "layer4.1.conv1", Reinitialise(True),
         [*PROBE, Rule("layer4", lora=8), Rule("layer4.1.conv1", reinit=True)]),
        ([*PROBE, Rule("layer4", lr_scale=0.1)], "layer4", Adapt(8),
         [*PROBE, Rule("layer4", lr_scale=0.1, lora=8)]),
    ],
)  # fmt: skip
def test_an_edit_writes_few_rules(
    rules: list[Rule], path: str, edit: Edit, expected: list[Rule]
) -> None:
    assert edited(rules, NET, [path], edit) == expected


def test_a_rate_of_many_pieces_is_multiplied_piece_by_piece() -> None:
    rules = layer_decay(NET)
    halved = edited(rules, NET, [""], Multiply(0.5))
    before, after = says(rules, NET), says(halved, NET)
    assert {name: 2 * one.lr_scale for name, one in after.items()} == pytest.approx(
        {name: one.lr_scale for name, one in before.items()}, rel=1e-5
    )
    assert len(halved) <= len(rules) + 3  # the old ones, which decide nothing now, are gone


def test_a_parameter_of_its_own_kind_keeps_its_kind() -> None:
    rules = [FREEZE_ALL, Rule("*.bias", lr_scale=0.5)]
    scaled = edited(rules, NET, ["layer4.0.bn1"], Multiply(2.0))
    assert scaled == [*rules, Rule("layer4.0.bn1.bias", lr_scale=1.0)]


def test_several_modules_are_edited_at_once() -> None:
    thawed = edited(PROBE, NET, ["layer3", "layer4.1", "fc"], SetScale(0.1))
    assert thawed == [
        FREEZE_ALL,
        *(Rule(path, lr_scale=0.1) for path in ("layer3", "layer4.1", "fc")),
    ]


def test_there_and_back_is_where_it_began() -> None:
    rules = [FREEZE_ALL, Rule("layer4", lr_scale=0.1), Rule("fc")]
    for there, back in ((Multiply(0.5), Multiply(2.0)), (Train(False), Train(True))):
        changed = edited(edited(rules, NET, ["layer4"], there), NET, ["layer4"], back)
        assert resolve(changed, NET) == resolve(rules, NET)


PATTERNS = st.sampled_from(
    [
        *("*", "fc", "layer1", "layer1.0", "layer1.0.bn", "layer10", "layer1*", "*.bias"),
        *("token", "stem", "layer1.0.conv.weight", "type:Linear", "re:layer1", "last:1"),
    ]
)
PLAIN_RULES = st.builds(
    Rule, PATTERNS, st.booleans(), st.sampled_from([0.1, 1.0]), st.sampled_from([None, 0.1])
)
ADAPTING = st.builds(
    Rule, PATTERNS, st.just(True), st.sampled_from([0.1, 1.0]), lora=st.sampled_from([4, 8])
)
PATHS = st.sampled_from(["", "layer1", "layer1.0", "layer1.0.conv", "layer1.0.bn", "fc", "stem"])
EDITS = st.one_of(
    st.builds(Train, st.booleans()),
    st.builds(SetScale, st.sampled_from([0.1, 0.5])),
    st.builds(Multiply, st.sampled_from([0.5, 2.0])),
    st.builds(Reinitialise, st.booleans()),
)


@given(st.lists(PLAIN_RULES | ADAPTING, max_size=5), PATHS, EDITS)
def test_an_edit_does_to_each_parameter_what_it_says_and_nothing_elsewhere(
    rules: list[Rule], path: str, edit: Edit
) -> None:
    before = says(rules, MODEL)
    after = says(edited(rules, MODEL, [path], edit), MODEL)
    below = Matcher(MODEL).take(literal(path) or "*")
    becomes = edit({before[name] for name in below})
    for name in parameter_sizes(MODEL):
        wanted = becomes[before[name]] if name in below else before[name]
        thawed = isinstance(edit, Train) and not before[name].train  # at the rate of its module
        ignoring = {"lr_scale": 1.0, "weight_decay": None} if thawed or not wanted.train else {}
        assert replace(after[name], **ignoring) == replace(wanted, **ignoring), name


@given(st.lists(PLAIN_RULES, max_size=5), PATHS, st.sampled_from([0, 4]))
def test_adapters_stand_where_they_fit_and_go_without_a_trace(
    rules: list[Rule], path: str, rank: int
) -> None:
    before = says(rules, MODEL)
    after = says(edited(rules, MODEL, [path], Adapt(rank)), MODEL)
    below = set(Matcher(MODEL).take(literal(path) or "*"))
    spared = {"fc.weight", "fc.bias"} if path == "" else set()
    for name in parameter_sizes(MODEL):
        if not rank or name not in below - spared:
            assert after[name] == before[name]
        else:
            assert after[name].lora == (rank if name in adaptable(MODEL) else 0)
            assert after[name].train == bool(after[name].lora)
