"""What is said of a config before torch is loaded."""

import sys
from pathlib import Path

import pytest

from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.errors import UserError
from engine.contract.rules import Rule, Stage
from engine.runs.checks import ready


@pytest.mark.parametrize(
    ("trainable", "stages"),
    [([Rule("*", lora=8)], []), ([], [Stage(after="1 epoch", trainable=[Rule("*", lora=8)])])],
)
def test_adapters_without_peft_are_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainable: list[Rule], stages: list[Stage]
) -> None:
    asked = Config(
        "image-classification",
        ModelConfig("torchvision/resnet18"),
        DataConfig(str(tmp_path)),
        trainable=trainable,
        stages=stages,
    )
    assert ready(asked).trainable == trainable
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"pip install 'finetune-tui\[peft\]'"):
        ready(asked)
