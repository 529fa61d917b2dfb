from pathlib import Path

import pytest
import torch
from torch import nn

from engine import optim
from engine.contract import commands as c
from engine.contract.rules import Rule
from engine.contract.training_tables import OptimizerConfig, ScheduleConfig
from engine.loop import take_step
from engine.obey import obey
from engine.session import Session
from tests.engine.sessions import ALL, config, session, tiny_net

pytestmark = pytest.mark.usefixtures("one_thread")

HEAD = [Rule("*", train=False), Rule("head")]
SGD = OptimizerConfig(name="sgd", lr=0.1, weight_decay=0.01)
ADAMW = OptimizerConfig(name="adamw", lr=0.01, weight_decay=0.01)
BOTH = pytest.mark.parametrize("asked", [SGD, ADAMW], ids=["sgd", "adamw"])


def steps(made: Session, count: int) -> None:
    for number in range(count):
        made.progress.epoch, made.progress.batch = number, 0
        made.reopen_data()
        take_step(made)


def with_state(made: Session) -> set[str]:
    return set(optim.state_by_name(made.optimizer, made.module))


def perceptron() -> nn.Sequential:
    """No BatchNorm, which makes the gradient of a bias before it nothing but rounding."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.Tanh())
    net.add_module("head", nn.Linear(8, 3))
    return net


def group_of(made: Session, name: str) -> dict[str, object]:
    parameter = made.module.get_parameter(name)
    (group,) = [g for g in made.optimizer.param_groups if any(p is parameter for p in g["params"])]
    return group


def test_weight_decay_is_not_for_norms_and_biases() -> None:
    net = nn.Sequential(
        tiny_net(), nn.LayerNorm((2, 3)), nn.MultiheadAttention(4, 2), nn.Embedding(3, 2)
    )
    assert optim._decaying(net) == {
        *("0.stem.0.weight", "0.body.0.weight", "0.head.weight"),
        *("2.in_proj_weight", "2.out_proj.weight", "3.weight"),
    }


def test_tables_of_biases_and_scales_of_channels_do_not_decay() -> None:
    net = nn.Module()
    net.relative_position_bias_table = nn.Parameter(torch.ones(9, 2))
    net.layer_scale = nn.Parameter(torch.ones(4, 1, 1))
    net.pos_embedding = nn.Parameter(torch.ones(1, 5, 4))
    assert optim._decaying(net) == {"pos_embedding"}


def test_a_parameter_that_stands_on_the_model_itself_decays_too() -> None:
    net = nn.Linear(3, 2)
    assert optim._decaying(net) == {"weight"}


@BOTH
def test_every_parameter_is_in_one_group_from_the_start(
    tmp_path: Path, asked: OptimizerConfig
) -> None:
    made = session(tmp_path, config(optimizer=asked, trainable=HEAD))
    grouped = [p for group in made.optimizer.param_groups for p in group["params"]]
    assert len(grouped) == len({id(p) for p in grouped}) == len(list(made.module.parameters()))
    made.set_plan([*ALL, Rule("stem", lr_scale=0.1)])
    regrouped = [p for group in made.optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in regrouped} == {id(p) for p in grouped}


@BOTH
def test_the_rate_is_base_times_schedule_times_scale(
    tmp_path: Path, asked: OptimizerConfig
) -> None:
    made = session(
        tmp_path,
        config(
            optimizer=asked,
            schedule=ScheduleConfig(name="constant", warmup_steps=4),
            trainable=[*ALL, Rule("stem", lr_scale=0.1)],
        ),
    )
    steps(made, 1)
    assert group_of(made, "head.weight")["lr"] == asked.lr / 4
    assert group_of(made, "stem.0.weight")["lr"] == pytest.approx(asked.lr / 40)
    list(obey(made, c.SetLearningRate(1.0)))
    steps(made, 1)
    assert group_of(made, "head.weight")["lr"] == 0.5
    assert group_of(made, "head.weight")["weight_decay"] == 0.01
    assert group_of(made, "head.bias")["weight_decay"] == 0.0


@BOTH
def test_frozen_parameters_have_no_state_and_thawed_ones_train(
    tmp_path: Path, asked: OptimizerConfig
) -> None:
    made = session(tmp_path, config(optimizer=asked, trainable=HEAD))
    steps(made, 2)
    assert with_state(made) == {"head.weight", "head.bias"}
    before = made.module.get_parameter("stem.0.weight").clone()
    made.set_plan(ALL)
    steps(made, 1)
    assert with_state(made) == {name for name, _ in made.module.named_parameters()}
    assert not torch.equal(before, made.module.get_parameter("stem.0.weight"))


@BOTH
@pytest.mark.parametrize("policy", ["reset", "keep"])
def test_moments_of_a_frozen_parameter_follow_the_policy(
    tmp_path: Path, asked: OptimizerConfig, policy: str
) -> None:
    made = session(
        tmp_path,
        config(
            optimizer=OptimizerConfig(asked.name, asked.lr, frozen_moments=policy),
            trainable=ALL,
        ),
    )
    steps(made, 2)
    kept = {
        key: value.clone()
        for key, value in made.optimizer.state[made.module.get_parameter("stem.0.weight")].items()
    }
    made.set_plan(HEAD)
    steps(made, 2)
    state = optim.state_by_name(made.optimizer, made.module).get("stem.0.weight")
    if policy == "reset":
        assert state is None
    else:
        assert state is not None
        assert all(torch.equal(state[key], kept[key]) for key in kept)


@BOTH
@pytest.mark.parametrize("nesterov", [False, True])
def test_it_steps_as_a_plain_optimizer_of_torch_does(
    tmp_path: Path, asked: OptimizerConfig, nesterov: bool
) -> None:
    asked = OptimizerConfig(asked.name, asked.lr, nesterov=nesterov, weight_decay=0.0)
    made = session(
        tmp_path, config(optimizer=asked, schedule=ScheduleConfig("constant")), perceptron()
    )
    other = perceptron()
    other.load_state_dict(made.module.state_dict())
    if asked.name == "sgd":
        plain: torch.optim.Optimizer = torch.optim.SGD(
            other.parameters(), lr=asked.lr, momentum=asked.momentum, nesterov=nesterov
        )
    else:
        plain = torch.optim.AdamW(other.parameters(), lr=asked.lr, weight_decay=0.0)
    steps(made, 3)
    for number in range(3):
        batch = next(made.train_data.epoch(number))
        nn.functional.cross_entropy(other(batch.inputs), batch.targets).backward()
        plain.step()
        plain.zero_grad()
    for ours, theirs in zip(made.module.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


@BOTH
def test_a_rules_weight_decay_is_for_all_that_it_decides(
    tmp_path: Path, asked: OptimizerConfig
) -> None:
    """And is what the optimizer steps with: as torch's own does with groups of such decays."""
    rules = [*ALL, Rule("1", weight_decay=0.5), Rule("head.weight", lr_scale=0.1, weight_decay=0.0)]
    made = session(
        tmp_path,
        config(optimizer=asked, schedule=ScheduleConfig("constant"), trainable=rules),
        perceptron(),
    )
    decays = {"1.weight": 0.5, "1.bias": 0.5, "head.weight": 0.0, "head.bias": 0.0}
    assert {name: group_of(made, name)["weight_decay"] for name in decays} == decays
    made.set_plan(ALL)
    assert group_of(made, "1.bias")["weight_decay"] == 0.0
    assert group_of(made, "head.weight")["weight_decay"] == asked.weight_decay
    made.set_plan(rules)

    other = perceptron()
    other.load_state_dict(made.module.state_dict())
    groups = [
        {"params": [parameter], "weight_decay": decays[name]}
        | {"lr": asked.lr * (0.1 if name == "head.weight" else 1.0)}
        for name, parameter in other.named_parameters()
    ]
    plain: torch.optim.Optimizer = (
        torch.optim.SGD(groups, momentum=asked.momentum)
        if asked.name == "sgd"
        else torch.optim.AdamW(groups)
    )
    steps(made, 3)
    for number in range(3):
        batch = next(made.train_data.epoch(number))
        nn.functional.cross_entropy(other(batch.inputs), batch.targets).backward()
        plain.step()
        plain.zero_grad()
    for ours, theirs in zip(made.module.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


@BOTH
def test_a_thawed_parameter_starts_as_a_new_one_does(
    tmp_path: Path, asked: OptimizerConfig
) -> None:
    """No momentum in a group where others have some already: its first step is that of a fresh
    optimizer."""
    made = session(
        tmp_path, config(optimizer=asked, trainable=HEAD, schedule=ScheduleConfig("constant"))
    )
    steps(made, 3)
    made.set_plan(ALL)
    fresh = session(tmp_path, config(optimizer=asked, schedule=ScheduleConfig("constant")))
    fresh.module.load_state_dict(made.module.state_dict())
    for one in (made, fresh):
        torch.manual_seed(5)
        one.progress.epoch, one.progress.batch = 9, 0
        one.reopen_data()
        take_step(one)
    stem = "stem.0.weight"
    assert torch.equal(made.module.get_parameter(stem), fresh.module.get_parameter(stem))
