"""Relative gradient norms: what they are, that measuring leaves no trace, and the plan of them."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine import gradients
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract import methods, plan
from engine.contract.errors import UserError
from engine.contract.rules import Rule
from engine.contract.training_tables import CheckpointConfig, RegularisationConfig, TrainingConfig
from engine.data import Batch
from engine.loop import take_step
from engine.session import Session
from tests.engine.sessions import (
    Batches,
    ToyWorker,
    batches,
    config,
    of,
    run,
    same,
    session,
    tensors,
    tiny_net,
)

pytestmark = pytest.mark.usefixtures("one_thread")

ONE_EPOCH = TrainingConfig(epochs=1)


def measured(made: Session) -> dict[str, float]:
    norms = gradients.measure(made)
    assert norms is not None
    return norms


def test_they_are_those_of_the_mean_gradient_over_the_weights(tmp_path: Path) -> None:
    """Of pictures in uneven batches, frozen parameters included."""
    made = session(tmp_path, data=batches(4, 1, 0, 3))
    made.set_plan([Rule("head")])
    norms = measured(made)

    torch.manual_seed(0)
    net = tiny_net().eval()
    images = torch.cat([batch.inputs for batch in batches(4, 1, 0, 3)])
    labels = torch.cat([batch.targets for batch in batches(4, 1, 0, 3)])
    F.cross_entropy(net(images), labels).backward()
    for path in norms:
        own = list(net.get_submodule(path).parameters())
        gradient = torch.cat([p.grad.flatten() for p in own if p.grad is not None]).norm()
        weight = torch.cat([p.detach().flatten() for p in own]).norm()
        assert norms[path] == pytest.approx((gradient / weight).item(), rel=1e-4)
    assert list(norms) == ["stem.0", "stem.1", "body.0", "body.1", "head"]


def test_mixing_is_left_out_and_no_more_than_some_batches_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradients, "BATCHES", 2)
    mixed = config(regularisation=RegularisationConfig(mixup=1.0))
    few = measured(session(tmp_path, mixed, data=batches(4, 4, 4)))
    first_two = measured(session(tmp_path, data=batches(4, 4)))
    assert few == first_two


class Noisy(nn.Module):
    """Draws random numbers even in eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


def test_measuring_leaves_everything_as_it_was(tmp_path: Path) -> None:
    net = tiny_net()
    net.add_module("noise", Noisy())
    made = session(tmp_path, module=net)
    take_step(made)
    made.set_plan([Rule("head"), Rule("body.0")])
    before, generator = tensors(made.module), torch.get_rng_state()
    modes = [child.training for child in made.module.modules()]
    trainable = [p.requires_grad for p in made.module.parameters()]
    measured(made)
    assert same(before, tensors(made.module))
    assert torch.equal(generator, torch.get_rng_state())
    assert modes == [child.training for child in made.module.modules()]
    assert trainable == [p.requires_grad for p in made.module.parameters()]
    assert all(p.grad is None for p in made.module.parameters())


def test_the_command_is_as_a_plan_of_the_same_rules(tmp_path: Path) -> None:
    """In the middle of an epoch, which goes on with the next of its batches."""
    ended = []
    for number in (1, 2):
        made = session(tmp_path / str(number), config(training=ONE_EPOCH))
        made.folder.mkdir()
        if number == 1:
            events = run(made, [(2, c.AutoRGN())])
            (told,) = of(e.GradientsMeasured, events)
            assert told.step == 2
            assert [x.change for x in of(e.PlanChanged, events)] == ["", "Auto-RGN"]
            rules = methods.auto_rgn(made.info, told.norms)
            assert made.progress.rules == rules
            rates = {a.lr_scale for a in plan.resolve(rules, made.info).values()}
            assert len(rates) == 4
            assert max(rates) == 1.0
        else:
            run(made, [(2, c.SetPlan(rules))])
        ended.append(tensors(made.module))
    assert same(*ended)


def test_layers_with_adapters_take_part_and_the_plan_merges_these(tmp_path: Path) -> None:
    made = session(tmp_path)
    plain = measured(made)
    made.set_plan([Rule("head"), Rule("body.0", lora=2)])  # it changes nothing until it trains
    assert measured(made) == plain
    list(gradients.auto_rgn(made))
    assert all(p.requires_grad for p in made.module.parameters())
    assert set(dict(made.module.named_parameters())) == set(dict(tiny_net().named_parameters()))


class OneAtATime(Batches):
    """As a pool of readers: to open an epoch ends the one that was open before."""

    opened = 0

    def epoch(self, number: int, skip_batches: int = 0) -> Iterator[Batch]:
        self.opened += 1
        return self._read(self.opened, skip_batches)

    def _read(self, serial: int, skip_batches: int) -> Iterator[Batch]:
        for batch in self[skip_batches:]:
            assert serial == self.opened
            yield batch


def test_the_epoch_under_way_is_opened_again(tmp_path: Path) -> None:
    data = OneAtATime(batches(4, 4, 4, 4))
    made = session(tmp_path, config(training=ONE_EPOCH), data=data)
    run(made, [(2, c.AutoRGN())])
    assert (made.progress.step, data.opened) == (4, 3)


@pytest.mark.parametrize("yields", range(1, 12))
def test_asked_for_at_the_start_it_is_done_once_also_if_the_run_dies_at_once(
    tmp_path: Path, yields: int
) -> None:
    """What was edited before the first step stands, though nothing was trained yet."""
    asked = config(
        training=TrainingConfig(epochs=1, auto_rgn=True),
        checkpoints=CheckpointConfig(every_steps=1),
    )
    script = [(0, c.Freeze("stem")), (3, c.AutoRGN())]
    calm, struck = (ToyWorker(tmp_path / name, asked, list(script)) for name in ("a", "b"))
    for worker in (calm, struck):
        worker.folder.mkdir()
    calm.live()
    struck.live(yields)
    struck.live()
    assert len(of(e.GradientsMeasured, calm.journal)) == 2
    assert calm.session.progress.rules == struck.session.progress.rules
    assert same(tensors(calm.session.module), tensors(struck.session.module))
    first, *_, last = of(e.PlanChanged, struck.journal)
    assert first.change == ""
    assert last.change == "Auto-RGN"


def test_at_the_start_a_stop_is_obeyed_before_the_plan_is_made(tmp_path: Path) -> None:
    asked = config(training=TrainingConfig(epochs=1, auto_rgn=True))
    made = session(tmp_path, asked)
    made.stopping = "SIGTERM"
    events = gradients.before_first_step(made)
    assert list(islice(events, 2)) == [None, None]
    made.stopping = ""
    assert [type(event) for event in events] == [e.GradientsMeasured, e.PlanChanged]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (batches(0, 0), r"^data\.path: no training sample"),
        (Batches([batches(4)[0]]), "^The gradients are not finite"),
    ],
)
def test_what_can_not_be_measured_is_a_sentence_and_changes_nothing(
    tmp_path: Path, data: Batches, says: str
) -> None:
    for batch in data:
        batch.inputs = batch.inputs * float("nan")
    made = session(tmp_path, data=data)
    rules, before = list(made.progress.rules), tensors(made.module)
    with pytest.raises(UserError, match=says):
        list(gradients.auto_rgn(made))
    assert made.progress.rules == rules
    assert same(before, tensors(made.module))


def test_too_little_memory_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_args: object) -> None:
        raise MemoryError

    made = session(tmp_path)
    monkeypatch.setattr(gradients, "_backward", short)
    with pytest.raises(UserError, match=r"data\.batch_size lower"):
        gradients.measure(made)
    assert made.module.training
