"""Settings by their keys: what a living run takes, and what a fork changes."""

import pytest
from msgspec.structs import replace

from engine.contract import commands as c
from engine.contract import toml
from engine.contract.errors import UserError
from engine.contract.fields import all_fields
from ftui.settings import LIVE, awaited, live_command, overrides, value_at
from tests.ui.scripted import CONFIG


def test_all_that_can_be_changed_live_is_a_setting() -> None:
    assert set(LIVE) <= {field.key for field in all_fields()}


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("training.epochs", "20", "20"),
        ("optimizer.weight_decay", "1e-3", "0.001"),
        ("data.augment", '"trivial"', "trivial"),
        ("data.augment", "trivial", "trivial"),
        ("early_stopping.restore_best", "false", "false"),
    ],
)
def test_a_setting_becomes_a_command_with_its_value_as_it_is_shown(
    key: str, text: str, value: str
) -> None:
    command = live_command(CONFIG, key, text)
    assert isinstance(command, c.SetOption)
    assert (command.key, command.value) == (key, value)
    assert awaited([command, c.Pause()]) == {key: value}


def test_the_rate_has_a_command_of_its_own() -> None:
    command = live_command(CONFIG, "optimizer.lr", "1e-3")
    assert isinstance(command, c.SetLearningRate)
    assert command.lr == 0.001
    assert awaited([command]) == {"optimizer.lr": "0.001"}


@pytest.mark.parametrize(
    ("key", "text", "why"),
    [
        ("data.batch_size", "64", "data.batch_size is fixed while a run trains"),
        ("training.epoch", "64", '"training.epoch" is not a setting; did you mean'),
        ("training.epochs", "many", "training.epochs must be a whole number"),
        ("optimizer.lr", "0", "optimizer.lr must be a number above 0"),
    ],
)
def test_what_can_not_be_is_refused_in_a_sentence(key: str, text: str, why: str) -> None:
    with pytest.raises(UserError) as refused:
        live_command(CONFIG, key, text)
    assert str(refused.value).startswith(why)


def test_overrides_make_one_config_the_other() -> None:
    data = replace(CONFIG.data, path='my "pets", 2024', augment="trivial", image_size=96)
    training = replace(CONFIG.training, epochs=3)
    other = replace(CONFIG, data=data, training=training)
    changes = overrides(CONFIG, other)
    assert len(changes) == 4
    assert toml.with_overrides(CONFIG, changes) == other
    assert overrides(CONFIG, CONFIG) == []
    assert value_at(other, "data.image_size") == 96
