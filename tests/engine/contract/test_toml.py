"""`config.toml`: what is written is read back, and every mistake is one sentence."""

import tomllib
import unicodedata
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract import toml
from engine.contract.config import Config, weights_file
from engine.contract.errors import UserError
from engine.contract.fields import all_fields
from engine.contract.rules import Rule, Stage
from tests.engine.contract import strategies

LEAST = """\
task = "image-classification"
[model]
name = "torchvision/resnet18"
[data]
path = "data/pets"
"""


@given(config=strategies.struct(Config))
def test_what_is_written_is_read_back(config: Config) -> None:
    assert toml.parse(toml.dump(config)) == config


def test_all_but_three_keys_have_defaults() -> None:
    config = toml.parse(LEAST)
    assert config.model.weights == "DEFAULT"
    assert config.optimizer.momentum == 0.9
    needed = [f.key for f in all_fields() if f.default is msgspec.NODEFAULT]
    assert needed == ["task", "model.name", "data.path"]


def test_what_is_written_is_complete() -> None:
    written = tomllib.loads(toml.dump(toml.parse(LEAST)))
    for field in all_fields():
        table, _, key = field.key.rpartition(".")
        assert key in (written[table] if table else written)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("name =", "nam ="), '"model.nam" is not a setting; did you mean "name"?'),
        (("path", "paht"), '"data.paht" is not a setting; did you mean "path"?'),
        (("[data]", "momentum = 1\n[data]"), 'did you mean "optimizer.momentum"?'),
        (("task =", "momentun = 1\ntask ="), 'did you mean "optimizer.momentum"?'),
        (("[data]", "qqqq = 1\n[data]"), "not a setting; valid here: name, weights."),
        (("[data]", "[dada]"), '"dada" is not a setting; did you mean "data"?'),
        (('path = "data/pets"', ""), "data.path is missing; it has no default."),
        (("torchvision/", ""), "model.name must be SOURCE/NAME, such as torchvision/resnet18"),
        (("image-class", "picture-class"), 'task must be one of "image-classification", "'),
        (("data/pets", ""), "data.path must be text that is not empty, not ''."),
        (("[data]", "[data]\nbatch_size = 0"), "must be a whole number at least 1 and at most"),
        (("[data]", "[data]\nbatch_size = 1.5"), "batch_size must be a whole number"),
        (("[data]", "[data]\nimage_size = 7"), 'from 8 to 4096, or "auto", not 7.'),
        (
            ("[data]", "[regularisation]\ndropout = 1\n[data]"),
            'regularisation.dropout must be a number at least 0 and below 1, or "auto", not 1.',
        ),
        (("[data]", "[data]\nval_fraction = 1.0"), "above 0 and below 1, not 1.0."),
        (("[data]", "[optimizer]\nnesterov = 1\n[data]"), "must be true or false, not 1."),
        (("[data]", "[optimizer]\nlr = nan\n[data]"), "optimizer.lr must be a number above 0"),
        (("[data]", "[[trainable]]\ntrain = true\n[data]"), "trainable[0].match is missing"),
        (("[data]", "[[trainable]]\nmatch = 'a'\nlr_scale = -1\n[data]"), "trainable[0].lr_scale"),
        (
            ("[data]", "[[trainable]]\nmatch = 'a'\nweight_decay = 'x'\n[data]"),
            "trainable[0].weight_decay must be a number from 0 to 1000, not 'x'.",
        ),
        (
            ("[data]", "[[trainable]]\nmatch = 'a'\nreinit = 1\n[data]"),
            "trainable[0].reinit must be true or false, not 1.",
        ),
        (("[data]", "[trainable]\nx = 1\n[data]"), "trainable must be a list, not"),
        (('[model]\nname = "torchvision/resnet18"', "model = 3"), "model must be a table"),
        (("[data]", "data"), "not valid TOML"),
    ],
)
def test_a_mistake_is_a_sentence(change: tuple[str, str], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        toml.parse(LEAST.replace(*change), source="my.toml")
    said = str(caught.value)
    assert said.startswith("my.toml: ")
    assert sentence in said
    assert "\n" not in said


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)
KEYS = st.sampled_from([f.key for f in all_fields()] + ["trainable", "model", "x.y", ""])


@pytest.mark.parametrize(
    "line",
    [
        f"x = {'[' * 5000}",
        f"data.path.{'.'.join('x' * 5000)} = 1",
    ],
    ids=["lists", "tables"],
)
def test_too_deep_a_nest_is_a_sentence(line: str) -> None:
    with pytest.raises(UserError, match=r"my.toml: .*nested too deeply"):
        toml.parse(f'{line}\ntask = "x"\nmodel.name = "torchvision/x"\n', source="my.toml")


@given(key=KEYS, value=VALUES)
def test_no_value_is_worse_than_a_sentence(key: str, value: object) -> None:
    data: dict[str, Any] = tomllib.loads(LEAST)
    table, _, last = key.rpartition(".")
    (data.setdefault(table, {}) if table else data)[last] = value
    sentence = ""
    try:
        assert isinstance(toml.convert(data, "my.toml"), Config)
    except UserError as error:
        sentence = str(error)
    assert not {unicodedata.category(c) for c in sentence} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("training.epochs=20", "training.epochs", 20),
        ("optimizer.lr = 1e-3", "optimizer.lr", 0.001),
        ("regularisation.dropout=0.3", "regularisation.dropout", 0.3),
        ("regularisation.drop_path=auto", "regularisation.drop_path", "auto"),
        ("optimizer.nesterov=true", "optimizer.nesterov", True),
        ("model.name=timm/vit", "model.name", "timm/vit"),
        ('data.path="2024"', "data.path", "2024"),
        ("data.path=2024", "data.path", "2024"),
        ("data.path = 2024-01-01", "data.path", "2024-01-01"),
        ("data.path=true", "data.path", "true"),
        ("data.path=with = sign", "data.path", "with = sign"),
        ("data.image_size=auto", "data.image_size", "auto"),
    ],
)
def test_an_override_changes_one_setting(override: str, key: str, value: object) -> None:
    before = msgspec.to_builtins(toml.parse(LEAST))
    after = msgspec.to_builtins(toml.parse(LEAST, overrides=[override]))
    table, _, last = key.rpartition(".")
    assert after[table].pop(last) == value
    del before[table][last]
    assert after == before


def test_an_override_can_be_the_plan() -> None:
    config = toml.parse(LEAST, overrides=['trainable=[{match="*"}]'])
    assert [rule.match for rule in config.trainable] == ["*"]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("training.epochs", "--set wants key=value"),
        ("=3", "--set wants key=value"),
        ("training.epoch=3", '"training.epoch" is not a setting; did you mean "epochs"?'),
        ("trainng.epochs=3", '"trainng" is not a setting; did you mean "training"?'),
        ("training.epochs.x=3", "training.epochs must be a whole number"),
        ("regularisation.class_weights.x=1", "regularisation.class_weights must be"),
        ("task.x=3", "--set task.x: task is not a table of settings."),
        ("training.epochs=many", "training.epochs must be a whole number"),
    ],
)
def test_a_wrong_override_is_a_sentence(override: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        toml.parse(LEAST, overrides=[override])
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "can't be read"), (b"task = '\xff'", "not UTF-8 text")],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / "my.toml").write_bytes(content)
    with pytest.raises(UserError, match=sentence) as caught:
        toml.load(tmp_path / "my.toml")
    assert "my.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("weights", "file"),
    [
        ("DEFAULT", None),
        ("IMAGENET1K_V2", None),
        ("none", None),
        ("pypi:some-package", None),
        ("best.pth", "best.pth"),
        ("best.SafeTensors", "best.SafeTensors"),
        ("folder/best", "folder/best"),
        ("/abs/x.bin", "/abs/x.bin"),
        ("~nosuchuser/w.pth", "~nosuchuser/w.pth"),
    ],
)
def test_which_weights_are_files(weights: str, file: str | None) -> None:
    assert weights_file(weights) == (None if file is None else Path(file))


def test_a_plan_is_written_as_a_person_would() -> None:
    """A table a rule, with what is not usual, before what is about rates."""
    asked = toml.parse(LEAST)
    rules = [Rule("*", train=False), Rule("fc", lr_scale=0.5)]
    text = toml.dump(
        msgspec.structs.replace(
            asked, trainable=rules, stages=[Stage("2 epochs", [Rule("layer4")])]
        )
    )
    plan = """
[[trainable]]
match = "*"
train = false

[[trainable]]
match = "fc"
train = true
lr_scale = 0.5

[[stages]]
after = "2 epochs"

[[stages.trainable]]
match = "layer4"
train = true

[optimizer]
"""
    assert plan in text
