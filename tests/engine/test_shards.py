"""The weights of a checkpoint in two files: what is frozen is written once."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from safetensors import safe_open

from engine import shards
from engine.contract.rules import Rule
from engine.contract.training_tables import OptimizerConfig
from engine.loop import take_step
from tests.engine.sessions import config, same, session, tensors, tiny_net
from tests.engine.test_checkpoint import saved, target

pytestmark = pytest.mark.usefixtures("one_thread")
HEAD_ONLY = config(trainable=[Rule("*", train=False), Rule("head")])


def test_weights_have_the_models_own_names_and_an_index_says_which_are_where(
    tmp_path: Path,
) -> None:
    made = session(tmp_path, HEAD_ONLY)
    one = saved(made, step=7)
    where = json.loads((one.path / "model.safetensors.index.json").read_bytes())["weight_map"]
    read = {}
    for file_name in ("frozen.safetensors", "trained.safetensors"):
        with safe_open(one.path / file_name, "pt") as file:
            assert {name for name, there in where.items() if there == file_name} == {*file.keys()}
            assert file.metadata() == {
                "model": "torchvision/tiny",
                "step": "7",
                "classes": "ant\nbee\ncat",
            }
            read |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert set(read) == set(tiny_net().state_dict())
    assert same(read, tensors(made.module))
    assert same(read, shards.read(one.path))
    assert one.path.name == "step-00000007"
    assert target(made, "last") == "step-00000007"


def test_what_is_frozen_is_written_once(tmp_path: Path) -> None:
    made = session(tmp_path, HEAD_ONLY)
    first = saved(made, 1).path / "frozen.safetensors"
    with torch.no_grad():
        made.module.get_parameter("head.weight").add_(1)
    second = saved(made, 2)
    assert first.samefile(second.path / "frozen.safetensors")
    assert same(shards.read(second.path), tensors(made.module))


@pytest.mark.parametrize("how", ["thawed", "written to", "statistics", "removed"])
def test_and_anew_where_it_may_be_another(tmp_path: Path, how: str) -> None:
    made = session(tmp_path, HEAD_ONLY)
    first = saved(made, 1).path
    before = (first / "frozen.safetensors").stat().st_ino
    with torch.no_grad():
        match how:
            case "thawed":
                made.set_plan([Rule("*", train=False), Rule("head"), Rule("stem")])
            case "written to":
                made.module.get_parameter("stem.0.weight").add_(1)
            case "statistics":
                made.module.get_buffer("stem.1.running_mean").add_(1)
            case _:
                shutil.rmtree(first)
    second = saved(made, 2)
    assert how == "removed" or (second.path / "frozen.safetensors").stat().st_ino != before
    assert same(shards.read(second.path), tensors(made.module))


def test_what_was_frozen_before_a_resume_is_not_what_is_now(tmp_path: Path) -> None:
    """Then nothing was frozen, so that there was nothing to tell apart."""
    one = saved(session(tmp_path, HEAD_ONLY), 1)
    made = session(tmp_path, config(trainable=[Rule("*")]), saved=one)
    assert same(shards.read(saved(made, 2).path), tensors(made.module))
    assert not (saved(made, 3).path / "frozen.safetensors").exists()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_what_was_thawed_trained_and_frozen_again_is_written_anew(
    tmp_path: Path, optimizer: str
) -> None:
    """Fused optimizers write to tensors without counting it as a version of theirs."""
    made = session(tmp_path, replace(HEAD_ONLY, optimizer=OptimizerConfig(name=optimizer, lr=0.1)))
    saved(made, 1)
    body = Rule("body.0.weight")
    made.set_plan([*HEAD_ONLY.trainable, body])
    before = made.module.get_parameter("body.0.weight").clone()
    take_step(made)
    made.set_plan(HEAD_ONLY.trainable)
    assert not torch.equal(before, made.module.get_parameter("body.0.weight"))
    assert same(shards.read(saved(made, 2).path), tensors(made.module))
