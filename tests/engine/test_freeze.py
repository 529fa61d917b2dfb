"""Frozen means bit-identical, whatever the optimizer, however often a plan changes."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from engine.contract import plan
from engine.contract.errors import UserError
from engine.contract.preprocessing import Preprocessing
from engine.contract.rules import Rule
from engine.contract.training_tables import OptimizerConfig
from engine.evaluate import evaluate
from engine.freeze import apply_plan, set_modes
from engine.loop import take_step, train
from engine.models.describe import model_info
from engine.session import Session
from tests.engine.sessions import ALL, batches, config, run, session, tensors, tiny_net

pytestmark = pytest.mark.usefixtures("one_thread")

HEAD = [Rule("*", train=False), Rule("head")]
BODY = [Rule("*", train=False), Rule("body"), Rule("head")]


def trained(module: nn.Module) -> set[str]:
    return {path for path, child in module.named_modules() if path and child.training}


def put(module: nn.Module, *rules: Rule) -> None:
    info = model_info("x", module, ["head"], Preprocessing())
    apply_plan(module, plan.resolve(rules, info))


def test_a_module_whose_parameters_are_all_frozen_is_in_eval_mode() -> None:
    net = tiny_net()
    put(net, *BODY)
    # the Dropout and ReLU of the body train with it; those of the pool, which has no parameters,
    # with the network
    assert trained(net) == {
        *("body", "body.0", "body.1", "body.2", "body.3"),
        *("pool", "pool.0", "pool.1", "pool.2", "head"),
    }


def test_a_norm_frozen_within_a_block_that_trains_is_in_eval_mode() -> None:
    net = tiny_net()
    put(net, *ALL, Rule("type:BatchNorm2d", train=False))
    assert net.body.training
    assert net.body[2].training
    assert not net.body[1].training
    assert not net.stem[1].training


def test_a_norm_without_weights_follows_what_is_above_it() -> None:
    def block() -> nn.Sequential:
        return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, affine=False))

    net = nn.Sequential(block(), block())
    put(net, Rule("1"))
    assert trained(net) == {"1", "1.0", "1.1"}


def test_statistics_without_weights_stand_still_where_a_part_of_what_is_above_is_frozen() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, affine=False), nn.Dropout())
    put(net, Rule("0.bias"))
    assert trained(net) == {"0", "2"}
    put(net, *ALL)
    assert trained(net) == {"0", "1", "2"}


def test_a_parameter_that_two_modules_share_counts_once_and_goes_by_its_first_name() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight = net[0].weight
    info = model_info("x", net, ["1"], Preprocessing())
    assert info.total_parameters == 16 + 4 + 4
    with pytest.raises(UserError, match="matches no parameter"):
        plan.resolve([Rule("1.weight")], info)
    put(net, Rule("*", train=False), Rule("0.weight"))
    assert net[1].weight.requires_grad


def test_a_norm_of_which_one_parameter_trains_is_in_train_mode() -> None:
    net = tiny_net()
    put(net, *HEAD, Rule("body.1.bias"))
    assert net.body[1].training
    assert not net.body[0].training


def test_modes_come_back_after_training_and_evaluating_all(tmp_path: Path) -> None:
    made = session(tmp_path, config(trainable=BODY))
    before = trained(made.module)
    evaluate(made, "command")
    assert trained(made.module) == before
    made.module.train()
    set_modes(made.module)
    assert trained(made.module) == before


def test_freezing_drops_the_gradient_and_twice_is_as_once() -> None:
    net = tiny_net()
    net(torch.ones(2, 3, 8, 8)).sum().backward()
    for _ in range(2):
        put(net, *HEAD)
        assert all((p.grad is None) == (not p.requires_grad) for p in net.parameters())
        assert {n for n, p in net.named_parameters() if p.requires_grad} == {
            *("head.weight", "head.bias")
        }


def test_a_plan_that_trains_nothing_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    made = session(tmp_path, config(trainable=BODY))
    before = trained(made.module)
    with pytest.raises(UserError, match="at least one"):
        made.set_plan([Rule("*", train=False)])
    assert trained(made.module) == before
    assert made.progress.rules == BODY


optimizers = st.builds(
    OptimizerConfig,
    name=st.sampled_from(["sgd", "adamw"]),
    lr=st.just(0.1),
    nesterov=st.booleans(),
    weight_decay=st.just(0.1),
    frozen_moments=st.sampled_from(["keep", "reset"]),
)
patterns = st.lists(
    st.builds(
        Rule,
        st.sampled_from(
            ["*", "stem", "body", "body.1", "head", "*.bias", "type:BatchNorm2d", "last:1"]
        ),
        st.booleans(),
        st.sampled_from([1.0, 0.1]),
        st.sampled_from([None, 0.0, 0.3]),
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
)


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(asked=optimizers, plans=st.lists(patterns, min_size=1, max_size=3))
def test_what_is_frozen_stays_bit_for_bit_and_the_rest_moves(
    tmp_path: Path, asked: OptimizerConfig, plans: list[list[Rule]]
) -> None:
    made = session(tmp_path, config(optimizer=asked))
    for rules in plans:
        try:
            made.set_plan(rules)
        except UserError:
            continue
        before = tensors(made.module)
        take_step(made)
        evaluate(made, "command")
        take_step(made)
        after = made.module.state_dict()
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        assert moved == may_move(made)


def may_move(made: Session) -> set[str]:
    """Trainable parameters, and the buffers of norms that have any."""
    names = {name for name, p in made.module.named_parameters() if p.requires_grad}
    norms = {name.rpartition(".")[0] for name in names}
    buffers = {n for n, _ in made.module.named_buffers() if n.rpartition(".")[0] in norms}
    return names | buffers


def test_bit_for_bit_through_a_whole_run_with_evaluations_and_checkpoints(tmp_path: Path) -> None:
    made = session(tmp_path, config(trainable=HEAD))
    before = tensors(made.module)
    run(made)
    after = made.module.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"head.weight", "head.bias"}


def test_backward_stops_at_the_earliest_trainable_module(tmp_path: Path) -> None:
    made = session(tmp_path, config(trainable=HEAD), data=batches(4))
    reached: list[str] = []
    for name in ("stem", "body", "head"):
        made.module.get_submodule(name).register_full_backward_pre_hook(
            lambda _m, _o, name=name: reached.append(name)
        )
    assert next(event for event in train(made) if event is None) is None
    take_step(made)
    assert reached == ["head"]
