"""New weights are drawn once in a run, from its seed, for what was asked and nothing else."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from engine import checkpoint, optim, reinit
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract import plan
from engine.contract.errors import UserError
from engine.contract.preprocessing import Preprocessing
from engine.contract.rules import Rule
from engine.contract.training_tables import (
    CheckpointConfig,
    EarlyStoppingConfig,
    OptimizerConfig,
    TrainingConfig,
)
from engine.loop import take_step, train
from engine.models.describe import model_info
from engine.obey import obey
from tests.engine.sessions import (
    ALL,
    ToyWorker,
    config,
    of,
    run,
    same,
    session,
    tensors,
    tiny_net,
)

pytestmark = pytest.mark.usefixtures("one_thread")

ANEW = [*ALL, Rule("body", reinit=True)]
BODY = {"body.0", "body.1"}


def due(module: nn.Module, *rules: Rule, done: tuple[str, ...] = ()) -> list[str]:
    info = model_info("x", module, [], Preprocessing())
    return reinit.due(module, plan.resolve(rules, info), done)


def moved(before: dict[str, torch.Tensor], module: nn.Module) -> set[str]:
    after = module.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}


def used_net() -> nn.Sequential:
    """With statistics in its norms."""
    torch.manual_seed(1)
    net = tiny_net()
    net(torch.randn(8, 3, 8, 8))
    return net


@settings(deadline=None, max_examples=30)
@given(
    paths=st.sets(st.sampled_from(["stem.0", "stem.1", "body.0", "body.1", "head"])),
    seed=st.integers(0, 2**31 - 1),
)
def test_what_was_asked_is_drawn_from_the_seed_and_nothing_else_moves(
    paths: set[str], seed: int
) -> None:
    net, alone = used_net(), used_net()
    before, generator = tensors(net), torch.get_rng_state()
    assert set(due(net, Rule("*"), *(Rule(path, reinit=True) for path in paths))) == paths
    reinit.draw(net, paths, seed)
    assert {name.rpartition(".")[0] for name in moved(before, net)} == paths
    assert torch.equal(torch.get_rng_state(), generator)
    for path in paths:  # as if it were the only one
        reinit.draw(alone, [path], seed)
    assert same(tensors(alone), tensors(net))
    reinit.draw(net, paths, seed + 1)
    weights = {f"{path}.weight" for path in paths if path not in ("stem.1", "body.1")}
    assert not {name for name in weights if torch.equal(net.state_dict()[name], before[name])}
    assert weights <= moved(tensors(alone), net)


def test_a_norm_begins_with_its_statistics() -> None:
    net = used_net()
    reinit.draw(net, ["body.1"], 0)
    assert same(tensors(net.body[1]), tensors(nn.BatchNorm2d(4)))


def test_attention_does_not_reach_into_the_layer_below_it() -> None:
    net = nn.MultiheadAttention(4, 2)
    nn.init.ones_(net.out_proj.bias)
    before = tensors(net)
    reinit.draw(net, due(net, Rule("in_proj_*", reinit=True)), 0)
    assert moved(before, net) == {"in_proj_weight"}  # its bias is zero before and after


def test_it_is_asked_of_whole_modules_that_can_do_it() -> None:
    net = tiny_net()
    net.register_parameter("token", nn.Parameter(torch.ones(3)))
    with pytest.raises(
        UserError, match=r"body\.1\.bias can't be re-initialised without body\.1\.w"
    ):
        due(net, Rule("body.1.bias", reinit=True))
    with pytest.raises(UserError, match="token can't be re-initialised: Sequential has no reset_p"):
        due(net, Rule("*", reinit=True))
    assert set(due(net, Rule("*", reinit=True), Rule("token"))) == BODY | {
        "stem.0",
        "stem.1",
        "head",
    }
    assert due(net, Rule("body.1.bias", reinit=True), done=("body.1",)) == []


def test_a_refused_plan_changes_nothing(tmp_path: Path) -> None:
    made = session(tmp_path)
    before = tensors(made.module)
    for rules in ([Rule("body", train=False, reinit=True)], [Rule("*.bias", reinit=True)]):
        with pytest.raises(UserError):
            made.set_plan(rules)
    assert same(tensors(made.module), before)
    assert made.progress.rules == ALL
    assert made.progress.reinitialised == []


def test_before_the_first_step_and_only_what_was_asked(tmp_path: Path) -> None:
    plain, anew = session(tmp_path), session(tmp_path, config(trainable=ANEW))
    assert moved(tensors(plain.module), anew.module) == {"body.0.weight"}  # its norm was new
    (told,) = of(e.PlanChanged, run(anew))
    assert isinstance(told, e.PlanChanged)
    assert (told.step, set(told.reinitialised)) == (0, BODY)
    other = session(tmp_path, config(trainable=ANEW, training=TrainingConfig(seed=1)))
    assert other.progress.reinitialised == anew.progress.reinitialised
    third = session(tmp_path, config(trainable=ANEW))
    assert not torch.equal(third.module.body[0].weight, other.module.body[0].weight)


def test_once_whatever_the_plan_becomes(tmp_path: Path) -> None:
    made = session(tmp_path, config(trainable=ANEW))
    take_step(made)
    after_a_step = tensors(made.module)
    for rules in (ALL, ANEW, [*ANEW, Rule("body.1.bias", train=False)], [Rule("*", reinit=True)]):
        made.set_plan(rules)
    assert not moved(after_a_step, made.module) & {"body.0.weight", "body.1.weight"}
    assert set(made.reinitialised) == {"stem.0", "stem.1", "head"}


def test_new_weights_of_a_frozen_module_stay_bit_for_bit(tmp_path: Path) -> None:
    rules = [*ALL, Rule("body", train=False, reinit=True)]
    made = session(tmp_path, config(trainable=rules))
    before = tensors(made.module)
    run(made)
    assert not {name for name in moved(before, made.module) if name.startswith("body.")}


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_in_mid_run_the_moments_begin_anew_too(tmp_path: Path, name: str) -> None:
    made = session(tmp_path, config(optimizer=OptimizerConfig(name)))
    take_step(made)
    (changed,) = of(e.PlanChanged, list(obey(made, c.SetPlan(ANEW))))
    assert isinstance(changed, e.PlanChanged)
    assert set(changed.reinitialised) == BODY
    drawn = session(tmp_path, config(trainable=ANEW)).module.body[0].weight
    assert torch.equal(made.module.body[0].weight, drawn)
    state = optim.state_by_name(made.optimizer, made.module)
    assert all(not v.any() for k, v in state.get("body.0.weight", {}).items())
    assert any(v.any() for v in state["stem.0.weight"].values())


@pytest.mark.parametrize("steps", [1, 6, 8])
def test_it_is_not_repeated_on_resume(tmp_path: Path, steps: int) -> None:
    """Killed before the first checkpoint, it is drawn again, and alike."""
    asked = config(
        trainable=[*ANEW, Rule("stem", weight_decay=0.5)],
        checkpoints=CheckpointConfig(every_steps=3),
    )
    for folder in ("calm", "struck"):
        (tmp_path / folder).mkdir()
    calm, struck = ToyWorker(tmp_path / "calm", asked), ToyWorker(tmp_path / "struck", asked)
    calm.live()
    struck.live(steps=steps)
    weights = tensors(struck.session.module)
    struck.live(yields=0)  # resumed, and not a step further
    told = [x.reinitialised for x in of(e.PlanChanged, struck.journal)]  # type: ignore[attr-defined]
    assert [set(paths) for paths in told] == [BODY, BODY if steps < 3 else set()][: len(told)]
    if steps == 6:
        assert same(tensors(struck.session.module), weights)
    stem = struck.session.module.get_parameter("stem.0.weight")
    groups = struck.session.optimizer.param_groups
    (decay,) = [g["weight_decay"] for g in groups if any(p is stem for p in g["params"])]
    assert decay == 0.5
    struck.live()
    assert same(tensors(struck.session.module), tensors(calm.session.module))


def test_a_config_that_asks_for_it_later_gets_it_once_on_resume(tmp_path: Path) -> None:
    worker = ToyWorker(tmp_path, config(checkpoints=CheckpointConfig(every_steps=1)))
    worker.live(steps=2)
    worker.asked = config(checkpoints=CheckpointConfig(every_steps=1), trainable=ANEW)
    worker.live(steps=3)
    assert set(worker.session.reinitialised) == BODY
    worker.live(steps=4)
    assert worker.session.reinitialised == []


def test_what_is_begun_anew_behind_the_best_is_not_the_best(tmp_path: Path) -> None:
    """Nor is the best pruned for it, as an older checkpoint of the same step."""
    judged = EarlyStoppingConfig(min_delta=1e5)  # the first epoch stays the best
    made = session(tmp_path, config(training=TrainingConfig(epochs=3), early_stopping=judged))
    best = dict[str, torch.Tensor]()
    for event in train(made):
        if event is None and made.progress.position[:2] == (5, 2) and not best:
            best = tensors(made.module)
            list(obey(made, c.SetPlan([*ALL, Rule("head", reinit=True)])))
            (saved,) = of(e.CheckpointSaved, list(obey(made, c.Checkpoint())))
            assert (saved.path, saved.best) == ("checkpoints/step-00000005-2", False)  # type: ignore[attr-defined]
    assert checkpoint.best(tmp_path).path.name == "step-00000005"
    assert same(load_file(tmp_path / "model.safetensors"), best)
