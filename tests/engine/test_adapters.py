"""Adapters train and nothing else does; they come and go without a trace in what is computed."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import SwinTransformer, VisionTransformer

from engine import adapters, freeze, l2_sp, optim, rewind
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract import plan
from engine.contract.errors import UserError
from engine.contract.preprocessing import Preprocessing
from engine.contract.rules import Rule, Stage
from engine.contract.training_tables import (
    CheckpointConfig,
    EarlyStoppingConfig,
    OptimizerConfig,
    RegularisationConfig,
)
from engine.loop import take_step
from engine.models.describe import model_info
from engine.obey import obey
from tests.engine.sessions import (
    ALL,
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

LORA = [Rule("*", lora=2), Rule("head")]
DORA = [Rule("*", lora=2, dora=True), Rule("head")]
Net = Callable[[], nn.Module]


def convolutions() -> nn.Module:
    """(B, 3, 16, 16) to (B, 5), through all shapes of Conv2d that can have an adapter."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, (3, 1), padding="same", bias=False),
        nn.Conv2d(8, 8, 1),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


def vit() -> nn.Module:
    """The output of its attention is read by torch's function, not called."""
    return VisionTransformer(16, 8, 2, 2, 16, 32, num_classes=5)


def swin() -> nn.Module:
    """Its attention reads the weights of both of its layers."""
    return SwinTransformer([4, 4], 16, [1, 1], [2, 2], [2, 2], num_classes=5)


def beit() -> nn.Module:
    """Its attention reads the weight of queries, keys and values."""
    beit = pytest.importorskip("timm.models.beit")
    sizes = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}
    return beit.Beit(num_classes=5, **sizes)  # type: ignore[no-any-return]


NETS = {net.__name__: net for net in (convolutions, vit, swin, beit)}
nets = pytest.mark.parametrize("net", NETS.values(), ids=NETS)
both = pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])


def used(net: Net) -> nn.Module:
    """In eval mode, and with a row of zeros in each weight, as pretrained networks have them."""
    torch.manual_seed(1)
    module = net().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim == 1:
                nn.init.normal_(parameter)
            else:
                parameter[0] = 0.0
    return module


def put(module: nn.Module, *rules: Rule, seed: int = 0) -> None:
    """Adapters on a module that has none, which then train alone."""
    assignments = plan.resolve(rules, model_info("x", module, [], Preprocessing()))
    adapters.apply(module, assignments, seed)
    freeze.apply_plan(module, assignments)
    module.eval()


def images() -> Tensor:
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def computed(module: nn.Module) -> Tensor:
    with torch.no_grad():
        logits: Tensor = module(images())
    return logits


def train(module: nn.Module, steps: int = 3) -> None:
    wanted = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(wanted, lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = -module(images()).log_softmax(1)[:, 0].mean()
        torch.autograd.backward(loss)
        optimizer.step()


@nets
@both
def test_a_new_one_leaves_what_is_computed_bit_for_bit(net: Net, dora: bool) -> None:
    module = used(net)
    before, generator = computed(module), torch.get_rng_state()
    put(module, Rule("*", lora=2, dora=dora))
    assert torch.equal(computed(module), before)
    assert torch.equal(module(images()), before), "also where gradients are kept"
    assert torch.equal(torch.get_rng_state(), generator)


@nets
@both
def test_each_adapter_trains_and_what_it_is_beside_stays(net: Net, dora: bool) -> None:
    module = used(net)
    put(module, Rule("*", lora=2, dora=dora))
    before = tensors(module)
    train(module)
    after = module.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved <= {name for name in before if adapters.own_name(name)[1]}
    assert moved >= {name for name in before if ".lora_B." in name}
    assert all(bool(tensor.isfinite().all()) for tensor in after.values())
    for name, parameter in module.named_parameters():
        if adapters.own_name(name)[1]:
            assert parameter.grad is not None
            assert parameter.grad.abs().max() > 0, name


@nets
@both
def test_merged_it_computes_the_same_up_to_rounding(net: Net, dora: bool) -> None:
    module, begun = used(net), computed(used(net))
    put(module, Rule("*", lora=2, dora=dora))
    train(module)
    before, trained = tensors(module), computed(module)
    assert (trained - begun).abs().max() > 0.01
    merged = adapters.merged_state_dict(module)
    assert same(tensors(module), before), "a live module is left alone"
    fresh = used(net)
    fresh.load_state_dict(merged)
    torch.testing.assert_close(computed(fresh), trained, rtol=1e-5, atol=2e-6)
    layers = {name.rpartition(".lora_A")[0] for name in before if "lora_A" in name}
    assert set(adapters.apply(module, {}, 0)) == layers
    assert same(tensors(module), merged)


def test_what_has_none_is_exported_as_it_is() -> None:
    module = used(vit)
    assert same(adapters.merged_state_dict(module), tensors(module))


def test_it_is_drawn_from_the_seed_and_the_path_alone() -> None:
    one, alone, other = used(convolutions), used(convolutions), used(convolutions)
    put(one, Rule("*", lora=2))
    put(alone, Rule("4", lora=2))
    put(other, Rule("*", lora=2), seed=1)
    drawn = [net.state_dict()["4.lora_A.default.weight"] for net in (one, alone, other)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], one.state_dict()["3.lora_A.default.weight"][..., :1, :1])


def test_another_rank_is_a_new_adapter_after_the_old_one_was_merged() -> None:
    module = used(convolutions)
    put(module, Rule("*", lora=2))
    train(module)
    merged = adapters.merged_state_dict(module)
    info = model_info("x", used(convolutions), [], Preprocessing())
    wider = plan.resolve([Rule("*", lora=2), Rule("4", lora=3)], info)
    assert adapters.apply(module, wider, 0) == ["4"]
    state = module.state_dict()
    assert torch.equal(state["4.base_layer.weight"], merged["4.weight"])
    assert state["4.lora_A.default.weight"].shape == (3, 8, 1, 1)
    assert state["4.lora_B.default.weight"].abs().max() == 0
    assert state["3.lora_B.default.weight"].abs().max() > 0, "the others go on"


def test_which_layers_can_have_one() -> None:
    layers = nn.Sequential(
        nn.Conv2d(4, 8, (3, 5)),
        nn.Conv2d(4, 8, 3, groups=2),
        nn.Conv2d(4, 8, 3, dilation=2),
        nn.Conv2d(4, 8, 3, padding=1, padding_mode="reflect"),
        nn.Linear(3, 2),
        nn.Conv1d(4, 8, 3),
    )
    found = model_info("x", layers, [], Preprocessing()).modules
    assert [m.adaptable for m in found] == [(8, 60), None, None, None, (2, 3), None]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize("rules", [LORA, DORA], ids=["lora", "dora"])
def test_in_a_run_what_trains_is_what_the_plan_says(
    tmp_path: Path, name: str, rules: list[Rule]
) -> None:
    asked = config(trainable=rules, optimizer=OptimizerConfig(name=name, lr=0.1, weight_decay=0.1))
    made = session(tmp_path, asked)
    assert made.trainable_parameters == plan.trainable_parameters(
        plan.resolve(rules, made.info), made.info
    )
    before = tensors(made.module)
    events = run(made)
    after = made.module.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {n for n in before if adapters.own_name(n)[1] or n.startswith("head.")}
    (told,) = of(e.PlanChanged, events)
    assert isinstance(told, e.PlanChanged)
    assert (told.trainable, told.change) == (made.trainable_parameters, "")
    body = made.module.get_submodule("body")
    assert not body.get_submodule("1").training, "its norm is frozen"
    assert body.get_submodule("2").training, "its dropout is not"


def test_rate_and_decay_are_those_of_the_rule(tmp_path: Path) -> None:
    rules = [Rule("*"), Rule("stem", lora=2, lr_scale=0.5, weight_decay=0.25)]
    made = session(tmp_path, config(trainable=[*rules, Rule("body", lora=2, dora=True)]))
    found = {}
    for group in made.optimizer.param_groups:
        for name, parameter in made.module.named_parameters():
            if any(parameter is p for p in group["params"]) and adapters.own_name(name)[1]:
                found[name.replace(".default.weight", "")] = (
                    group["lr_scale"],
                    group["weight_decay"],
                )
    assert found == {
        "stem.0.lora_A": (0.5, 0.25),
        "stem.0.lora_B": (0.5, 0.25),
        "body.0.lora_A": (1.0, 1e-4),
        "body.0.lora_B": (1.0, 1e-4),
        "body.0.lora_magnitude_vector": (1.0, 0.0),
    }


def test_switched_off_it_is_merged_and_leaves_nothing_behind(tmp_path: Path) -> None:
    made = session(tmp_path, config(trainable=LORA, optimizer=OptimizerConfig("adamw")))
    for _ in range(2):
        take_step(made)
    expected = adapters.merged_state_dict(made.module)
    told = list(obey(made, c.Thaw("body")))
    (changed,) = of(e.PlanChanged, told)
    assert isinstance(changed, e.PlanChanged)
    assert changed.change == "thaw body; adapters of 1 layers merged"
    state = made.module.state_dict()
    assert torch.equal(state["body.0.weight"], expected["body.0.weight"])
    assert "stem.0.lora_A.default.weight" in state
    assert made.optimizer.state.keys() <= set(made.module.parameters())
    (again,) = of(e.PlanChanged, list(obey(made, c.Freeze("body.1"))))
    assert isinstance(again, e.PlanChanged)
    assert again.change == "freeze body.1"


def test_layers_without_one_are_told_of_once(tmp_path: Path) -> None:
    told: list[e.Event] = []
    torch.manual_seed(0)
    net = vit()
    net.head = net.heads.head  # type: ignore[assignment, union-attr]
    rules = [Rule("*", lora=1)]
    made = session(tmp_path, config(trainable=rules), net, data=batches(2), tell=told.append)
    (warned,) = of(e.Warned, told)
    assert "No adapter fits 2 MultiheadAttention, which stay frozen" in str(warned)
    assert not of(e.Warned, list(obey(made, c.Freeze("conv_proj"))))
    made.set_plan(ALL)
    assert made.left_out() == []
    assert len(of(e.Warned, list(obey(made, c.SetPlan(rules))))) == 1


def test_without_peft_a_plan_with_adapters_is_refused_and_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = session(tmp_path)
    before = tensors(made.module)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"need peft: pip install 'finetune-tui\[peft\]'"):
        made.set_plan(LORA)
    assert made.progress.rules == ALL
    assert made.trainable_parameters == made.info.total_parameters
    assert same(adapters.merged_state_dict(made.module), before)
    made.set_plan([Rule("head")])


def test_a_config_that_asks_for_none_any_more_merges_on_resume(tmp_path: Path) -> None:
    every = CheckpointConfig(every_steps=1)
    worker = ToyWorker(tmp_path, config(trainable=LORA, checkpoints=every))
    worker.live(steps=2)
    merged = adapters.merged_state_dict(worker.session.module)
    worker.asked = config(trainable=[Rule("head")], checkpoints=every)
    worker.live(yields=1)
    assert same(tensors(worker.session.module), merged)
    told = of(e.PlanChanged, worker.journal)[-1]
    assert isinstance(told, e.PlanChanged)
    assert told.change == "adapters of 2 layers merged"


@pytest.mark.parametrize(
    ("then", "now"), [(LORA, ALL), (ALL, LORA), (LORA, DORA)], ids=["off", "on", "other"]
)
def test_a_rewind_brings_back_what_there_was(
    tmp_path: Path, then: list[Rule], now: list[Rule]
) -> None:
    made = session(tmp_path, config(trainable=then))
    take_step(made)
    list(obey(made, c.Checkpoint()))
    before, moments = tensors(made.module), optim.state_by_name(made.optimizer, made.module)
    made.set_plan(now)
    take_step(made)
    told = list(rewind.to_step(made, 1, "rewind"))
    assert same(tensors(made.module), before)
    assert optim.state_by_name(made.optimizer, made.module).keys() == moments.keys()
    (changed,) = of(e.PlanChanged, told)
    assert isinstance(changed, e.PlanChanged)
    assert (changed.rules, changed.change) == (then, "")


def test_the_finished_model_has_them_merged_under_its_own_names(tmp_path: Path) -> None:
    last = EarlyStoppingConfig(restore_best=False)
    averaged = RegularisationConfig(ema=0.9, l2_sp=0.1)
    for regularised in (averaged, replace(averaged, wise_ft=True)):
        folder = tmp_path / str(regularised.wise_ft)
        folder.mkdir()
        asked = config(trainable=LORA, regularisation=regularised, early_stopping=last)
        worker = ToyWorker(folder, asked)
        worker.live()
        state = load_file(folder / "model.safetensors")
        tiny_net().load_state_dict(state)
        merged = adapters.merged_state_dict(worker.session.module)
        assert same(merged, state) or regularised.wise_ft
        assert "body.0.lora_A.default.weight" in worker.session.module.state_dict()


def test_a_moving_average_begins_anew_with_what_was_merged(tmp_path: Path) -> None:
    """Else the layer's average would go back to what it was before the adapter."""
    averaged = config(trainable=ALL, regularisation=RegularisationConfig(ema=0.9))
    made = session(tmp_path, averaged)
    assert made.average
    for rules in (ALL, [*ALL, Rule("body", lora=2)], [*ALL, Rule("body", lora=1)], ALL):
        made.set_plan(rules)
        average = made.average.by_name(made.module)
        for path in made.merged:
            name = f"{path}.base_layer.weight" if rules != ALL else f"{path}.weight"
            weight = made.module.get_parameter(name)
            assert name not in average or torch.equal(average[name], weight)
        take_step(made)
        made.average.update()


def test_l2_sp_pulls_what_trains_of_a_layer_beside_its_adapter() -> None:
    module = used(convolutions)
    start = tensors(module)
    info = model_info("x", module, [], Preprocessing())
    rules = plan.resolve([Rule("*", lora=2), Rule("0.bias")], info)
    adapters.apply(module, rules, 0)
    freeze.apply_plan(module, rules)
    ((pulled, where),) = l2_sp.anchors(module, start)
    assert pulled is module.get_parameter("0.base_layer.bias")
    assert torch.equal(where, start["0.bias"])


def test_a_layer_with_one_answers_for_what_it_holds() -> None:
    module = used(convolutions)
    put(module, Rule("*", lora=2))
    layer = module.get_submodule("0")
    assert (layer.kernel_size, layer.stride) == ((3, 3), (2, 2))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = layer.nonsense


def test_a_stage_may_bring_them(tmp_path: Path) -> None:
    stages = [Stage(after="2 steps", trainable=[Rule("body", lora=2)])]
    made = session(tmp_path, replace(config(trainable=[Rule("head")]), stages=stages))
    run(made)
    assert made.module.state_dict()["body.0.lora_B.default.weight"].abs().max() > 0
