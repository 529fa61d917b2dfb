"""Channels last is a layout: plan, values and what a resume comes to stay what they are."""

from pathlib import Path

import pytest
import torch

from engine.contract import commands as c
from engine.contract.config import Config
from engine.contract.rules import Rule
from engine.contract.training_tables import (
    CheckpointConfig,
    OptimizerConfig,
    RegularisationConfig,
    TrainingConfig,
)
from engine.layout import laid_like, lay_out
from tests.engine.sessions import ToyWorker, config, run, same, session, tensors, tiny_net

pytestmark = pytest.mark.usefixtures("one_thread", "unhindered")


def asked(channels_last: bool, cache: str = "off", optimizer: str = "sgd") -> Config:
    return config(
        training=TrainingConfig(epochs=2, threads=1, channels_last=channels_last, cache=cache),  # type: ignore[arg-type]
        optimizer=OptimizerConfig(name=optimizer, lr=1e-3),  # type: ignore[arg-type]
        regularisation=RegularisationConfig(ema=0.9, l2_sp=0.01),
        checkpoints=CheckpointConfig(every_steps=1),
        trainable=[Rule("*"), Rule("stem", train=False)],
    )


def test_the_same_but_for_rounding(tmp_path: Path) -> None:
    """Without Dropout, whose masks are drawn in the order of memory."""
    ends, frozen = [], tensors(tiny_net().get_submodule("stem"))
    for channels_last in (False, True):
        (folder := tmp_path / str(channels_last)).mkdir()
        torch.manual_seed(0)
        module = tiny_net()
        for layer in module.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0
        made = session(folder, asked(channels_last), module)
        frozen = tensors(module.get_submodule("stem"))
        weight = module.get_parameter("body.0.weight")
        run(made)
        assert weight.is_contiguous(memory_format=torch.channels_last) == channels_last
        state = made.optimizer.state[weight]["momentum_buffer"]
        assert state.stride() == weight.stride()
        assert same(frozen, tensors(module.get_submodule("stem")))
        ends.append(tensors(module))
    assert all(torch.allclose(x, ends[1][name], atol=1e-5) for name, x in ends[0].items())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("cache", ["off", "auto"])
def test_a_resumed_run_comes_to_the_same(tmp_path: Path, cache: str, optimizer: str) -> None:
    """Adapters, new weights and thawed layers included."""
    rules = [Rule("*"), Rule("stem", train=False), Rule("body.0", reinit=True)]
    script = [(2, c.SetPlan(id="1", rules=rules)), (7, c.Thaw(id="2", pattern="stem"))]
    ends = []
    for name, steps in (("whole", []), ("killed", [1, 3, 8])):
        (folder := tmp_path / name).mkdir()
        toy = ToyWorker(folder, asked(True, cache, optimizer), list(script))
        for step in steps:
            assert not toy.live(steps=step)
        assert toy.live()
        ends.append(tensors(toy.session.module))
    assert same(*ends)


def test_moments_follow_the_layout_that_a_resume_asks_for(tmp_path: Path) -> None:
    """Fused optimizers walk through memory, whatever the strides."""
    ends = []
    for name, second in (("kept", False), ("other", True)):
        (folder := tmp_path / name).mkdir()
        toy = ToyWorker(folder, asked(False), model=without_dropout)
        assert not toy.live(steps=4)
        toy.asked = asked(second)
        assert toy.live()
        ends.append(tensors(toy.session.module))
    assert all(torch.allclose(x, ends[1][name], atol=1e-5) for name, x in ends[0].items())


def without_dropout() -> torch.nn.Sequential:
    net = tiny_net()
    for layer in net.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    return net


def test_strides_do_not_tell_how_a_weight_lay_before() -> None:
    strides = []
    for layouts in ([True], [True, False, True]):
        layer = torch.nn.Conv2d(4, 8, 1)
        for channels_last in layouts:
            lay_out(layer, channels_last)
        strides.append(layer.weight.stride())
    assert strides[0] == strides[1] == (4, 1, 4, 4)


def test_only_what_has_the_shape_of_its_parameter_is_moved() -> None:
    weight = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    other = torch.randn(2, 3, 4, 4)
    assert laid_like(other, weight).stride() == weight.stride()
    assert torch.equal(laid_like(other, weight), other)
    step = torch.tensor(3.0)
    assert laid_like(step, weight) is step
