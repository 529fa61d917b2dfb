"""The user's own modules: what is made of them, and what is said where nothing can be."""

from pathlib import Path

import pytest
import torch

from engine import models
from engine.contract.errors import UserError
from engine.models.own import OwnSource
from engine.models.source import LoadedModel, Wanted

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.stem(x).mean((2, 3)))

def make():
    return Net()

def with_classes(classes):
    return Net(classes)

class Wrapped(Net):
    def forward(self, x):
        return {"out": super().forward(x), "aux": None}

class Output:
    def __init__(self, logits):
        self.logits = logits

class Huggish(Net):
    preprocessing = {"image_size": 32, "mean": (0.5, 0.5, 0.5)}
    def forward(self, x):
        return Output(super().forward(x))

class Reads(Net):
    def __init__(self, num_classes=10):
        super().__init__(num_classes)
        if self.fc.weight.sum().item() != self.fc.weight.sum().item():
            raise ValueError

def fails():
    raise ValueError("no \\x1b[31mluck")

def nothing():
    return 3

def bare():
    return nn.Sequential(nn.ReLU())

def maps():
    return nn.Sequential(nn.Conv2d(3, 10, 1))

value = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


def load(file: Path, factory: str, weights: str = "DEFAULT", classes: int = 3) -> LoadedModel:
    torch.manual_seed(0)
    wanted = Wanted(f"{file}:{factory}", weights, classes=classes)
    return OwnSource().load(wanted, lambda _: None)


@pytest.mark.parametrize("factory", ["make", "Net", "with_classes", "Wrapped", "Huggish", "Reads"])
def test_any_of_these_gives_logits(file: Path, factory: str) -> None:
    model = load(file, factory)
    assert model.info.head == ["fc"]
    assert model.module.training
    assert model.module(torch.rand(2, 3, 32, 32)).shape == (2, 3)
    described = models.describe(f"{file}:{factory}", classes=3)
    assert described == model.info
    assert model.info.preprocessing.image_size == (32 if factory == "Huggish" else 224)


def test_one_that_must_be_told_its_classes_is_made_for_some_until_they_are_known(
    file: Path,
) -> None:
    info = models.describe(f"{file}:with_classes")
    assert info.head == ["fc"]
    assert info.modules[-1].own == {"weight": 4000, "bias": 1000}


def test_a_head_of_other_classes_is_replaced_and_told(file: Path) -> None:
    assert (
        load(file, "make").weights == "as net.py:make gives them, fc new for 3 classes (it had 10)"
    )
    assert load(file, "with_classes").weights == "as net.py:with_classes gives them"
    assert torch.equal(load(file, "make").module.fc.weight, load(file, "make").module.fc.weight)


def test_a_state_dict_with_a_prefix(file: Path, tmp_path: Path) -> None:
    state = load(file, "Net").module.state_dict()
    renamed = {f"module.{name}": tensor + 1 for name, tensor in state.items()}
    torch.save(renamed, tmp_path / "mine.pth")
    model = load(file, "Net", str(tmp_path / "mine.pth"))
    assert all(torch.equal(t, state[n] + 1) for n, t in model.module.state_dict().items())
    assert model.weights == f'{tmp_path}/mine.pth, head included, "module." taken off the names'


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no.py:make", "there is no file"),
        ("net.py:mak", 'has no function "mak"; did you mean "make"'),
        ("net.py:value", "value in .*net.py is no function or class"),
        ("net.py:fails", r"net.py:fails raised ValueError: no luck \(net.py, line 40\)\."),
        ("net.py:nothing", "returned int, not an nn.Module"),
        ("net.py:bare", "has no Linear or Conv2d layer for a head"),
        ("net.py:maps", r"gives \(1, 3, 224, 224\) for one picture, not a logit a class, \(1, 3\)"),
        ("bad.py:make", "can't be run: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("broken.py:make", r"can't be run: SyntaxError: .* \(line 1\)"),
        ("exits.py:make", "can't be run: SystemExit: 3"),
    ],
)
def test_what_goes_wrong_is_one_sentence(file: Path, name: str, said: str) -> None:
    (file.parent / "bad.py").write_text("import nowhere_at_all")
    (file.parent / "broken.py").write_text("def make(:")
    (file.parent / "exits.py").write_text("raise SystemExit(3)")
    path, _, factory = name.partition(":")
    with pytest.raises(UserError, match=said) as raised:
        load(file.parent / path, factory)
    assert str(raised.value).isprintable()


def test_other_weights_are_refused(file: Path) -> None:
    with pytest.raises(UserError, match='or a file, not "IMAGENET1K_V1"'):
        load(file, "make", "IMAGENET1K_V1")


def test_what_lies_beside_the_file_can_be_imported(file: Path) -> None:
    (file.parent / "beside_it_here.py").write_text("from torch import nn\nLAST = nn.Linear(4, 3)")
    (file.parent / "two.py").write_text(
        "from beside_it_here import LAST\nfrom torch import nn\n"
        "def make(): return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), "
        "nn.Linear(3, 4), LAST)"
    )
    assert load(file.parent / "two.py", "make").info.head == ["3"]


@pytest.mark.parametrize("task", ["text-classification", "semantic-segmentation"])
def test_other_tasks_get_what_their_objectives_take(file: Path, task: str) -> None:
    wanted = Wanted(
        f"{file}:{'make' if task == 'text-classification' else 'maps'}", task=task, classes=3
    )
    module = OwnSource().load(wanted, lambda _: None).module
    out = module(torch.rand(2, 3, 8, 8))
    logits = out.logits if task == "text-classification" else out["out"]
    assert logits.shape == ((2, 3) if task == "text-classification" else (2, 3, 8, 8))


def test_a_task_that_it_is_not_for(file: Path) -> None:
    with pytest.raises(UserError, match="not for causal language modelling"):
        models.describe(f"{file}:make", classes=3, task="causal-lm")
