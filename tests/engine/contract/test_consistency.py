"""What a config must not ask for at once."""

import pytest

from engine.contract import consistency
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.errors import UserError
from engine.contract.training_tables import TrainingConfig


def test_fp16_on_a_cpu_is_refused_before_torch_is_loaded() -> None:
    def asked(device: str) -> Config:
        training = TrainingConfig(device=device, precision="fp16")
        return Config("image-classification", ModelConfig("m"), DataConfig("d"), training=training)

    consistency.check(asked("auto"))
    with pytest.raises(UserError, match=r"training\.precision: fp16 needs a GPU"):
        consistency.check(asked("cpu"))
