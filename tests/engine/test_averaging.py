"""The moving average of the weights: by hand, under a changing plan, and evaluated beside them."""

from itertools import count
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine import checkpoint
from engine.averaging import MovingAverage
from engine.contract import commands as c
from engine.contract import consistency
from engine.contract import events as e
from engine.contract.config import ModelConfig
from engine.contract.errors import UserError
from engine.contract.rules import Rule
from engine.contract.training_tables import (
    EarlyStoppingConfig,
    RegularisationConfig,
    TrainingConfig,
)
from engine.evaluate import evaluate_all
from engine.lending import lent
from engine.loop import take_step
from engine.obey import obey
from engine.past import Past
from engine.session import Session
from tests.engine.sessions import (
    config,
    of,
    run,
    same,
    session,
    tensors,
    tiny_net,
)

pytestmark = pytest.mark.usefixtures("one_thread")

EMA = RegularisationConfig(ema=0.9)


def shadows(made: Session) -> dict[str, Tensor]:
    """A copy of them."""
    assert made.average
    return {name: tensor.clone() for name, tensor in made.average.by_name(made.module).items()}


def weights(made: Session) -> dict[str, Tensor]:
    """A copy of all parameters."""
    return {name: parameter.detach().clone() for name, parameter in made.module.named_parameters()}


def expected(before: Tensor, after: Tensor, step: int, decay: float = 0.9) -> Tensor:
    decay = min(decay, step / (9 + step))
    return decay * before.double() + (1 - decay) * after.double()


def test_by_hand() -> None:
    """1 and then 2, 3, 4, ...: the decay rises from a tenth to what was asked for."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1)
    average = MovingAverage(0.25)
    average.follow(layer)
    value = 1.0
    for weight, decay in ((2.0, 0.1), (3.0, 2 / 11), (4.0, 0.25), (5.0, 0.25)):
        nn.init.constant_(layer.weight, weight)
        average.update()
        value = decay * value + (1 - decay) * weight
        assert average.by_name(layer)["weight"].item() == pytest.approx(value)


def test_each_step_takes_in_the_weights_after_it(tmp_path: Path) -> None:
    made = session(tmp_path, config(regularisation=EMA))
    assert same(shadows(made), weights(made))
    for step in (1, 2, 3):
        before = shadows(made)
        take_step(made)
        now = shadows(made)
        for name, weight in weights(made).items():
            torch.testing.assert_close(now[name].double(), expected(before[name], weight, step))
            assert not torch.equal(now[name], weight)


def test_it_changes_nothing_of_the_training(tmp_path: Path) -> None:
    ended = []
    for asked in (RegularisationConfig(), EMA):
        folder = tmp_path / str(asked.ema)
        folder.mkdir()
        made = session(folder, config(regularisation=asked, training=TrainingConfig(epochs=2)))
        run(made, [(3, c.Evaluate())])
        ended.append(tensors(made.module))
    assert same(*ended)


def test_a_shadow_begins_when_its_parameter_is_first_thawed_and_goes_on_while_it_is_frozen(
    tmp_path: Path,
) -> None:
    made = session(tmp_path, config(regularisation=EMA, trainable=[Rule("head")]))
    take_step(made)
    assert set(shadows(made)) == {"head.weight", "head.bias"}

    frozen = weights(made)["stem.0.weight"]
    made.set_plan([Rule("stem.0")])
    assert torch.equal(shadows(made)["stem.0.weight"], frozen)
    before, head = shadows(made), weights(made)["head.weight"]
    take_step(made)
    assert torch.equal(weights(made)["head.weight"], head)
    now = shadows(made)
    torch.testing.assert_close(
        now["head.weight"].double(), expected(before["head.weight"], head, step=2)
    )
    assert not torch.equal(now["stem.0.weight"], frozen)
    assert "body.0.weight" not in now


def test_what_is_given_new_weights_begins_anew(tmp_path: Path) -> None:
    made = session(tmp_path, config(regularisation=EMA))
    take_step(made)
    old = shadows(made)
    made.set_plan([Rule("*"), Rule("stem.0", reinit=True)])
    new = shadows(made)
    assert torch.equal(new["stem.0.weight"], weights(made)["stem.0.weight"])
    assert not torch.equal(new["stem.0.weight"], old["stem.0.weight"])
    assert torch.equal(new["body.0.weight"], old["body.0.weight"])


def test_adapters_have_shadows_and_a_weight_that_one_is_merged_into_begins_anew(
    tmp_path: Path,
) -> None:
    made = session(tmp_path, config(regularisation=EMA))
    take_step(made)
    made.set_plan([Rule("*"), Rule("body.0", lora=2)])
    take_step(made)
    adapter = "body.0.lora_B.default.weight"
    now, averaged = weights(made), shadows(made)
    torch.testing.assert_close(
        averaged[adapter].double(), expected(torch.zeros(4, 2, 1, 1), now[adapter], step=2)
    )
    assert not torch.equal(averaged["body.0.base_layer.weight"], now["body.0.base_layer.weight"])

    before = shadows(made)
    made.set_plan([Rule("*")])
    now, averaged = weights(made), shadows(made)
    assert set(averaged) == set(now)
    assert torch.equal(averaged["body.0.weight"], now["body.0.weight"])
    assert torch.equal(averaged["stem.0.weight"], before["stem.0.weight"])


def test_it_is_evaluated_beside_the_weights_and_leaves_no_trace(tmp_path: Path) -> None:
    made = session(tmp_path, config(regularisation=EMA))
    take_step(made)
    before, averaged = tensors(made.module), shadows(made)
    addresses = [p.data_ptr() for p in made.module.parameters()]
    told = evaluate_all(made, "command")
    assert told
    assert [x.weights for x in told] == ["raw", "ema"]
    assert same(before, tensors(made.module))
    assert addresses == [p.data_ptr() for p in made.module.parameters()]
    assert same(averaged, shadows(made))

    other = session(tmp_path)
    other.module.load_state_dict(before | averaged)  # with the module's own buffers
    alone = evaluate_all(other, "command")
    assert alone
    assert told[1].loss == alone[0].loss != told[0].loss


def test_each_evaluation_of_a_run_is_of_both(tmp_path: Path) -> None:
    asked = config(regularisation=EMA, training=TrainingConfig(epochs=2))
    events = run(session(tmp_path, asked), [(3, c.Evaluate())])
    told = [(x.step, x.reason, x.weights) for x in of(e.Evaluated, events)]
    assert told == [
        (step, reason, weights)
        for step, reason in ((3, "command"), (5, "epoch"), (10, "epoch"))
        for weights in ("raw", "ema")
    ]


@pytest.mark.parametrize("metric", ["ema_loss", "ema_top1", "val_loss", "val_top1"])
def test_early_stopping_judges_what_it_is_asked_to(tmp_path: Path, metric: str) -> None:
    asked = config(
        regularisation=EMA,
        training=TrainingConfig(epochs=4),
        early_stopping=EarlyStoppingConfig(metric=metric),  # type: ignore[arg-type]
    )
    made = session(tmp_path, asked)
    events = run(made)
    kind, _, figure = metric.partition("_")
    judged = [x for x in of(e.Evaluated, events) if (x.weights == "ema") == (kind == "ema")]
    values = [x.loss if figure == "loss" else x.figures["top1"] for x in judged]
    assert made.progress.best == (min(values) if figure == "loss" else max(values))


def test_a_resume_that_turns_it_on_begins_it_and_one_that_turns_it_off_ends_it(
    tmp_path: Path,
) -> None:
    made = session(tmp_path, config())
    take_step(made)
    list(obey(made, c.Checkpoint()))
    for asked in (EMA, RegularisationConfig()):
        saved, _ = checkpoint.newest(tmp_path)
        made = session(tmp_path, config(regularisation=asked), past=Past(), saved=saved)
        if asked.ema:
            assert same(shadows(made), weights(made))
        else:
            assert made.average is None
        take_step(made)
        list(obey(made, c.Checkpoint()))


@pytest.mark.parametrize("metric", ["ema_loss", "ema_top1"])
def test_to_judge_an_average_that_is_off_is_a_sentence(metric: str) -> None:
    judged = EarlyStoppingConfig(metric=metric)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=rf"^early_stopping\.metric: {metric} .*\.$"):
        consistency.check(config(early_stopping=judged))
    consistency.check(config(early_stopping=judged, regularisation=EMA))


@pytest.mark.parametrize("name", ["l2_sp", "wise_ft"])
def test_to_go_back_to_no_weights_is_a_sentence(name: str) -> None:
    asked = (
        RegularisationConfig(l2_sp=0.1) if name == "l2_sp" else RegularisationConfig(wise_ft=True)
    )
    random = ModelConfig(name="torchvision/tiny", weights="none")
    with pytest.raises(UserError, match=rf"^regularisation\.{name}: .*\.$"):
        consistency.check(config(model=random, regularisation=asked))
    consistency.check(config(regularisation=asked))


def test_lent_tensors_are_gone_after_an_error_too() -> None:
    net = tiny_net()
    before = tensors(net)
    numbers = count()
    other = {name: torch.full_like(tensor, next(numbers)) for name, tensor in before.items()}

    def fail() -> None:
        with lent(net, other):
            assert same(tensors(net), other)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert same(tensors(net), before)
