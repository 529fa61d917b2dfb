"""L2-SP: what it adds to a gradient, what it is for, and the weights that a run began with."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from engine import checkpoint, l2_sp, origin
from engine.contract import commands as c
from engine.contract.errors import UserError
from engine.contract.rules import Rule
from engine.contract.training_tables import (
    GuardConfig,
    OptimizerConfig,
    RegularisationConfig,
    TrainingConfig,
)
from engine.loop import take_step, train
from engine.obey import obey
from engine.past import Past
from engine.session import Session
from tests.engine.sessions import ToyWorker, batches, config, run, same, session, tensors, tiny_net

pytestmark = pytest.mark.usefixtures("one_thread")

STRENGTH = 0.5
PULLED = RegularisationConfig(l2_sp=STRENGTH)
PLAIN_SGD = OptimizerConfig(lr=0.1, momentum=0.0, weight_decay=0.2)
HEAD = {"head.weight", "head.bias"}


def decays(made: Session) -> dict[str, float]:
    """Name of each parameter to its weight decay."""
    names = {parameter: name for name, parameter in made.module.named_parameters()}
    return {
        names[parameter]: group["weight_decay"]
        for group in made.optimizer.param_groups
        for parameter in group["params"]
    }


def moved_away(made: Session) -> dict[str, Tensor]:
    """Put all parameters elsewhere than where they started; returns where."""
    with torch.no_grad():
        for parameter in made.module.parameters():
            parameter.add_(0.25)
    return tensors(made.module)


@pytest.mark.parametrize("clip", [0.0, 0.1])
def test_a_step_by_hand(tmp_path: Path, clip: float) -> None:
    """All gradients, that of the penalty included, are clipped together."""
    training = TrainingConfig(clip_norm=clip)
    asked = config(regularisation=PULLED, optimizer=PLAIN_SGD, training=training)
    data = batches(4)
    made = session(tmp_path, asked, data=data)
    start, before = tensors(made.module), moved_away(made)
    for layer in made.module.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0

    net = tiny_net()
    net.load_state_dict(before)
    for layer in net.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    F.cross_entropy(net(data[0].inputs), data[0].targets).backward()
    expected = {}
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None
        if name not in HEAD:
            parameter.grad += STRENGTH * (before[name] - start[name])
    if clip:
        torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
    for name, parameter in net.named_parameters():
        decay = 0.2 * before[name] if name == "head.weight" else 0
        expected[name] = before[name] - 0.1 * (parameter.grad + decay)

    take_step(made)
    for name, parameter in made.module.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name])


def test_it_takes_the_place_of_the_weight_decay_where_there_is_a_start(tmp_path: Path) -> None:
    plan = [Rule("*"), Rule("stem.0", weight_decay=0.3), Rule("body.0", reinit=True)]
    asked = config(regularisation=PULLED, optimizer=PLAIN_SGD, trainable=plan)
    found = decays(session(tmp_path, asked))
    assert {name: decay for name, decay in found.items() if decay} == {
        "stem.0.weight": 0.3,
        "body.0.weight": 0.2,
        "head.weight": 0.2,
    }
    without = decays(session(tmp_path, config(optimizer=PLAIN_SGD)))
    assert set(without) == set(found)
    assert without["stem.0.weight"] == without["body.0.weight"] == 0.2


def test_the_head_and_what_was_given_new_weights_are_not_pulled(tmp_path: Path) -> None:
    plan = [Rule("*"), Rule("stem.1", train=False), Rule("body.0", reinit=True)]
    made = session(tmp_path, config(regularisation=PULLED, trainable=plan))
    names = {parameter: name for name, parameter in made.module.named_parameters()}
    assert [names[parameter] for parameter, _ in made.anchors] == [
        *("stem.0.weight", "body.1.weight", "body.1.bias")
    ]
    made.set_plan([Rule("*")])
    assert "stem.1.bias" in [names[parameter] for parameter, _ in made.anchors]
    assert "body.0.weight" not in [names[parameter] for parameter, _ in made.anchors]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_what_is_frozen_stays_bit_for_bit(tmp_path: Path, optimizer: str) -> None:
    """Away from its start, too, where the penalty would move it."""
    asked = config(
        regularisation=RegularisationConfig(l2_sp=STRENGTH, ema=0.9),
        optimizer=OptimizerConfig(name=optimizer, lr=0.1),  # type: ignore[arg-type]
    )
    made = session(tmp_path, asked)
    moved_away(made)
    take_step(made)
    made.set_plan([Rule("body"), Rule("head")])
    before = tensors(made.module)
    for _ in range(3):
        take_step(made)
    after = tensors(made.module)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.startswith(("body.", "head."))}


def test_without_a_gradient_nothing_is_pulled() -> None:
    layer = torch.nn.Linear(1, 1)
    l2_sp.pull([(layer.weight, torch.zeros(1, 1))], 1.0)
    assert layer.weight.grad is None


def test_it_keeps_weights_nearer_to_their_start(tmp_path: Path) -> None:
    distances = []
    for strength in (0.0, 5.0):
        folder = tmp_path / str(strength)
        folder.mkdir()
        made = session(
            folder,
            config(
                regularisation=RegularisationConfig(l2_sp=strength),
                optimizer=OptimizerConfig(lr=0.05, momentum=0.0, weight_decay=0.0),
                training=TrainingConfig(epochs=3),
            ),
        )
        start = tensors(made.module)
        run(made)
        moved = made.module.state_dict()["body.0.weight"] - start["body.0.weight"]
        distances.append(moved.norm().item())
    assert distances[1] < 0.7 * distances[0]


class TestOrigin:
    def test_is_there_only_where_it_is_wanted(self, tmp_path: Path) -> None:
        session(tmp_path, config())
        assert list(tmp_path.iterdir()) == []
        for asked in (PULLED, RegularisationConfig(wise_ft=True)):
            session(tmp_path, config(regularisation=asked))
            assert [path.name for path in tmp_path.iterdir()] == ["start.safetensors"]
            (tmp_path / checkpoint.START).unlink()

    def test_has_all_that_can_be_blended_but_the_head(self, tmp_path: Path) -> None:
        made = session(
            tmp_path,
            config(regularisation=PULLED, trainable=[Rule("*"), Rule("stem", reinit=True)]),
        )
        torch.manual_seed(0)
        net = tensors(tiny_net())
        expected = {
            name: tensor
            for name, tensor in net.items()
            if name not in HEAD and tensor.is_floating_point()
        }
        read = origin.read(tmp_path)
        assert same(read, expected)
        assert same(dict(made.origin), read)
        kept = origin.points(read, made.progress.reinitialised)
        assert set(kept) == {name for name in read if not name.startswith("stem.")}

    def test_a_resume_pulls_to_where_the_run_began(self, tmp_path: Path) -> None:
        """Though the weights it is given then are others."""
        asked = config(regularisation=PULLED)
        worker = ToyWorker(tmp_path, asked)
        worker.live(steps=6)
        began = dict(worker.session.origin)
        worker.live(steps=8)
        assert worker.session.progress.step == 8
        assert same(dict(worker.session.origin), began)
        torch.manual_seed(0)
        first = tensors(tiny_net())
        assert all(torch.equal(tensor, first[name]) for name, tensor in began.items())

    @pytest.mark.parametrize(
        ("harm", "why"), [("remove", "not there"), ("cut", "damaged"), ("flip", "damaged")]
    )
    def test_missing_or_damaged_it_is_a_sentence(self, tmp_path: Path, harm: str, why: str) -> None:
        made = session(tmp_path, config(regularisation=PULLED))
        list(obey(made, c.Checkpoint()))
        saved, _ = checkpoint.newest(tmp_path)
        path = tmp_path / checkpoint.START
        whole = path.read_bytes()
        if harm == "remove":
            path.unlink()
        elif harm == "cut":
            path.write_bytes(whole[:-5])
        else:
            path.write_bytes(whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:])
        with pytest.raises(UserError, match=rf"start\.safetensors.* is {why}: set .*\.$"):
            session(tmp_path, config(regularisation=PULLED), past=Past(), saved=saved)
        session(tmp_path, config(), past=Past(), saved=saved)

    def test_a_disk_that_refuses_it_is_a_sentence(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("safetensors.torch.save_file", refuse)
        with pytest.raises(UserError, match=r"^start\.safetensors could not be saved in .*\.$"):
            session(tmp_path, config(regularisation=PULLED))
        assert list(tmp_path.iterdir()) == []

    def test_a_rewind_to_the_start_pulls_to_it(self, tmp_path: Path) -> None:
        asked = config(regularisation=PULLED, guard=GuardConfig(rollbacks=1))
        made = session(tmp_path, asked)
        start = tensors(made.module)
        for event in train(made):
            if event is None and made.progress.step == 3:
                list(obey(made, c.Rewind(step=0)))
                break
        assert same(tensors(made.module), start)
        assert made.anchors
        assert all(torch.equal(parameter, began) for parameter, began in made.anchors)


def refuse(*_args: object) -> None:
    raise OSError(28, "No space left on device")
