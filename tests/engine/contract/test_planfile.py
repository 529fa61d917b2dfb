"""A plan as text: it reads well, and back."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract import planfile, toml
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.errors import UserError
from engine.contract.planfile import Plan
from engine.contract.rules import Rule, Stage

TEXT = """\
[[trainable]]
match = "*"
train = false

[[trainable]]
match = "layer4"
train = true
lr_scale = 0.1

[[stages]]
after = "2 epochs"

[[stages.trainable]]
match = "layer3"
train = true
lora = 8
"""
PLAN = Plan(
    [Rule("*", train=False), Rule("layer4", lr_scale=0.1)],
    [Stage(after="2 epochs", trainable=[Rule("layer3", lora=8)])],
)

RULES = st.builds(
    Rule,
    st.text(min_size=1, max_size=20),
    st.booleans(),
    st.sampled_from([1.0, 0.1, 1e-6]),
    st.sampled_from([None, 0.0, 0.05]),
    st.booleans(),
    st.sampled_from([0, 8]),
    st.booleans(),
)
STAGES = st.builds(
    Stage,
    after=st.sampled_from(["2 epochs", "1 step", "stalled 3"]),
    trainable=st.lists(RULES, min_size=1, max_size=3),
)


def test_a_plan_reads_as_it_is_written_by_hand() -> None:
    assert planfile.dump(PLAN.trainable, PLAN.stages) == TEXT


@given(st.lists(RULES, min_size=1, max_size=5), st.lists(STAGES, max_size=3))
def test_a_plan_comes_back_as_it_was(rules: list[Rule], stages: list[Stage]) -> None:
    assert planfile.parse(planfile.dump(rules, stages), "plan.toml") == Plan(rules, stages)


def test_the_plan_of_a_whole_config_is_taken_alone(tmp_path: Path) -> None:
    config = Config(
        "image-classification",
        ModelConfig("torchvision/resnet18"),
        DataConfig("data"),
        trainable=PLAN.trainable,
        stages=PLAN.stages,
    )
    (tmp_path / "config.toml").write_text(toml.dump(config))
    assert planfile.load(tmp_path / "config.toml") == PLAN


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("trainable = 3", 'plan.toml: trainable must be a list, not 3.'),
        ("[[trainable]\n", "plan.toml: not valid TOML (Expected ']]' at the end of an array"),
        ('[[trainble]]\nmatch = "fc"', "there is no plan in it; it wants [[trainable]] rules."),
        ('[[trainable]]\nmach = "fc"', '"trainable[0].mach" is not a setting; did you mean "m'),
        (
            '[[trainable]]\nmatch = "fc"\nlr_scale = -1',
            "trainable[0].lr_scale must be a number at least 0 and at most 1000000.0, not -1.",
        ),
        (
            '[[trainable]]\nmatch = "fc"\n[[stages]]\nafter = "soon"\ntrainable = []',
            'stages[0].after must be "N epochs", "N steps" or "stalled N", not \'soon\'.',
        ),
    ],
)  # fmt: skip
def test_what_is_no_plan_is_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        planfile.parse(text, "plan.toml")
    assert sentence in str(caught.value)


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"plan\.toml: the plan can't be read \(No such file"):
        planfile.load(tmp_path / "plan.toml")
