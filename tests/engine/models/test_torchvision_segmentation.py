"""torchvision's segmentation models: every builder without memory, and a real step of each."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model, get_model_weights

from engine.contract.errors import UserError
from engine.contract.methods import METHODS
from engine.contract.plan import head_only, resolve, trainable_parameters
from engine.contract.tree import parameter_sizes
from engine.models import torchvision as ours
from engine.models.source import LoadedModel, Wanted
from engine.models.torchvision_segmentation import NAMES, TASK

SOURCE = ours.TorchvisionSource()
SMALL = "lraspp_mobilenet_v3_large"
LRASPP_HEAD = ["classifier.low_classifier", "classifier.high_classifier"]


def wanted(name: str, weights: str = "none", classes: int | None = 3, size: int = 64) -> Wanted:
    return Wanted(name, weights, TASK, classes, size)


def load(name: str, weights: str = "none", classes: int = 3) -> LoadedModel:
    return SOURCE.load(wanted(name, weights, classes), lambda _words: None)


def published(name: str, **options) -> dict[str, torch.Tensor]:
    """A state dict such as torchvision publishes, of random weights."""
    torch.manual_seed(3)
    options = {"weights": None} | options
    if name in NAMES:
        options |= {"weights_backbone": None}
    return dict(get_model(name, **options).state_dict())


def test_the_catalogue_has_them_for_their_task() -> None:
    entries = {e.name: e for e in SOURCE.catalogue() if e.tasks == (TASK,)}
    assert sorted(entries) == sorted(f"torchvision/{name}" for name in NAMES)
    assert len(NAMES) >= 6
    entry = entries["torchvision/fcn_resnet50"]
    assert (entry.parameters, entry.image_size, entry.accuracy) == (35_322_218, 520, None)
    assert entry.weights == [
        "COCO_WITH_VOC_LABELS_V1", "backbone:IMAGENET1K_V2", "backbone:IMAGENET1K_V1",
    ]  # fmt: skip
    assert entry.weights_file == "fcn_resnet50_coco-1167a1af.pth"


@pytest.mark.parametrize("name", NAMES)
def test_every_builder_without_memory(name: str) -> None:
    info = SOURCE.describe(wanted(name, "DEFAULT", classes=None))
    assert info.total_parameters == get_model_weights(name).DEFAULT.meta["num_params"]
    small = SOURCE.describe(wanted(name, "DEFAULT", classes=3))
    sizes = [parameter_sizes(i) for i in (info, small)]
    changed = {n for n, size in sizes[0].items() if size != sizes[1][n]}
    assert changed == {n for n in sizes[0] if n.startswith(tuple(f"{h}." for h in info.head))}
    assert (info.preprocessing.image_size, info.preprocessing.resize_size) == (520, 520)
    plan = resolve(head_only(small), small)
    assert trainable_parameters(plan, small) == sum(sizes[1][n] for n in changed)
    for method in set(METHODS) - {"attention-only"}:
        assert resolve(METHODS[method].rules(small), small)
    backbone = SOURCE.describe(wanted(name, "backbone:DEFAULT"))
    tops = ["classifier"] if name == SMALL else ["classifier", "aux_classifier"]
    assert backbone.head == tops


@pytest.mark.parametrize(
    "name",
    [SMALL, *(pytest.param(n, marks=pytest.mark.slow) for n in NAMES if n != SMALL)],
)
def test_a_real_step(name: str) -> None:
    model = load(name)
    before = {n: p.clone() for n, p in model.module.named_parameters()}
    outputs = model.module.train()(torch.rand(2, 3, 64, 64))
    assert set(outputs) == ({"out"} if name == SMALL else {"out", "aux"})
    assert all(logits.shape == (2, 3, 64, 64) for logits in outputs.values())
    sum(logits.square().mean() for logits in outputs.values()).backward()
    torch.optim.SGD(model.module.parameters(), lr=0.1).step()
    for path in model.info.head:
        weight = f"{path}.weight"
        assert not torch.equal(dict(model.module.named_parameters())[weight], before[weight])
    options = {} if name == SMALL else {"aux_loss": True}
    fresh = get_model(name, weights=None, weights_backbone=None, num_classes=3, **options)
    fresh.load_state_dict(model.module.state_dict())  # raises where a name or shape differs


def test_published_weights_get_a_new_head(cache: Path) -> None:
    state = published(SMALL)
    torch.save(state, cache / "lraspp_mobilenet_v3_large-d234d4ea.pth")
    model = load(SMALL, "DEFAULT")
    assert model.info.head == LRASPP_HEAD
    assert model.weights == ("COCO_WITH_VOC_LABELS_V1 (lraspp_mobilenet_v3_large-d234d4ea.pth)")
    for key, tensor in model.module.state_dict().items():
        if not key.startswith(tuple(LRASPP_HEAD)):
            assert torch.equal(tensor, state[key])
    assert model.module.classifier.low_classifier.weight.shape[0] == 3


def test_an_imagenet_backbone(cache: Path, tmp_path: Path) -> None:
    state = published("mobilenet_v3_large")
    torch.save(state, cache / "mobilenet_v3_large-8738ca79.pth")
    torch.save(state, tmp_path / "mine.pth")
    for weights in ("backbone:IMAGENET1K_V1", f"backbone:{tmp_path}/mine.pth"):
        model = load(SMALL, weights)
        assert model.info == SOURCE.load(wanted(SMALL, weights), pytest.fail, True).info
        assert ", backbone alone" in model.weights
        assert model.info.head == ["classifier"]
        filled = model.module.backbone.state_dict()
        assert all(torch.equal(tensor, state[f"features.{k}"]) for k, tensor in filled.items())
        assert not any(p.is_meta for p in model.module.parameters())
        assert model.module.classifier.cbr[1].running_var.eq(1).all()


@pytest.mark.slow
def test_a_resnet_backbone_and_weights_without_an_auxiliary(tmp_path: Path) -> None:
    save_file(published("resnet50"), tmp_path / "resnet50.safetensors")
    model = load("fcn_resnet50", f"backbone:{tmp_path}/resnet50.safetensors")
    assert "resnet50.safetensors, backbone alone" in model.weights
    state = published("fcn_resnet50", num_classes=3, aux_loss=False)
    save_file(state, tmp_path / "mine.safetensors")
    model = load("fcn_resnet50", str(tmp_path / "mine.safetensors"))
    assert model.weights.endswith("mine.safetensors, auxiliary classifier new, head included")
    assert torch.equal(model.module.classifier[4].weight, state["classifier.4.weight"])
    assert not any(p.is_meta for p in model.module.parameters())


def test_a_file_of_ones_own_keeps_its_head(tmp_path: Path) -> None:
    state = published(SMALL, num_classes=3)
    save_file(state, tmp_path / "mine.safetensors")
    model = load(SMALL, str(tmp_path / "mine.safetensors"))
    assert model.weights == f"{tmp_path}/mine.safetensors, head included"
    kept = model.module.state_dict()
    assert all(torch.equal(kept[key], tensor) for key, tensor in state.items())


def test_a_classifiers_file_is_told_from_a_segmentation_models(tmp_path: Path) -> None:
    torch.save(published("mobilenet_v3_large"), tmp_path / "m.pth")
    with pytest.raises(UserError) as raised:
        load(SMALL, str(tmp_path / "m.pth"))
    assert f'set model.weights to "backbone:{tmp_path}/m.pth"' in str(raised.value)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Wanted("resnet50", "none", TASK), "not for semantic segme"),
        (Wanted(SMALL, "none"), "is for semantic segmentation, not for image classification; take"),
        (Wanted("fcn_resnet5", "none", TASK), 'no segmentation model "fcn_resnet5"; did you mean'),
        (Wanted(SMALL, "backbone:IMAGENET1K_V9", TASK), "mobilenet_v3_large has no weights"),
    ],
)
def test_what_is_not_there_is_said(asked: Wanted, words: str, cache: Path) -> None:
    with pytest.raises(UserError) as raised:
        SOURCE.load(asked, lambda _words: None)
    assert words in str(raised.value)
