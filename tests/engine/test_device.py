"""Which device a config means, also where torch and the driver see different ones."""

import pytest
import torch

from engine import device
from engine.contract.errors import UserError
from engine.contract.training_tables import TrainingConfig


def config(name: str) -> TrainingConfig:
    return TrainingConfig(device=name)


@pytest.fixture
def useless_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVML counts a GPU, and the driver is too old for this torch."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_auto_says_so_where_it_passes_over_a_gpu(useless_gpu: None) -> None:
    chosen = device.choose(config("auto"))
    assert chosen.torch_device.type == "cpu"
    assert "GPU" in chosen.warning
    assert not device.choose(config("cpu")).warning


def test_a_gpu_that_torch_can_not_use_is_refused_in_a_sentence(useless_gpu: None) -> None:
    with pytest.raises(UserError, match='no "cuda:0" that torch can use here'):
        device.choose(config("cuda:0"))


def test_a_gpu_that_somebody_has_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(_device: object) -> None:
        raise RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", taken)
    with pytest.raises(UserError, match=r"training\.device: cuda:0 can't be used .*busy"):
        device.choose(config("cuda"))


@pytest.mark.parametrize("computes", [True, False])
def test_bf16_that_a_processor_emulates_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, computes: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: computes)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(device.platform, "machine", lambda: "x86_64")
    chosen = device.choose(TrainingConfig(device="cpu", precision="bf16"))
    assert ("emulates bf16" in chosen.warning) == (not computes)
    assert not device.choose(config("cpu")).warning


def test_what_is_sent_arrives_unchanged() -> None:
    chosen = device.choose(config("cpu"))
    tensor = torch.arange(3)
    assert torch.equal(chosen.send(tensor), tensor)
