"""The objective of segmentation, against sums by hand; and runs of a tiny network on it."""

import math
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from torch import Tensor, nn
from torch.nn import functional as F

from engine import device, restore
from engine.contract import events as e
from engine.contract.config import SegmentationConfig
from engine.contract.errors import UserError
from engine.contract.preprocessing import Preprocessing
from engine.contract.training_tables import RegularisationConfig, TrainingConfig
from engine.data import Batch
from engine.data.masks import IGNORED
from engine.loop import train
from engine.models.describe import model_info
from engine.past import Past
from engine.session import Session
from engine.tasks.measured import joined
from engine.tasks.segmenting import Segmenting, balanced_weights, dice_loss, picture_mean
from tests.engine import sessions

CLASSES = 3


def objective(pixels=(60, 30, 10), **tables) -> Segmenting:
    asked = replace(sessions.config(**tables), task="semantic-segmentation")
    return Segmenting(asked, pixels)


def scene(count: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits (count, 3, 8, 8) and targets (count, 8, 8), int16, some of them ignored."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(-1, CLASSES, (count, 8, 8), generator=generator)
    return torch.randn(count, CLASSES, 8, 8, generator=generator), targets.to(torch.int16)


def test_the_loss_is_the_mean_over_pictures_of_means_over_pixels() -> None:
    logits, targets = scene()
    targets[0, 1:] = IGNORED  # few pixels weigh as much as many, if they are a picture's
    each = [
        F.cross_entropy(one[None], true[None].long(), ignore_index=IGNORED)
        for one, true in zip(logits, targets, strict=True)
    ]
    loss = objective().loss({"out": logits}, targets)
    assert loss.dtype == torch.float32
    assert torch.allclose(loss, torch.stack(each).mean())


@pytest.mark.parametrize("kind", ["cross-entropy", "cross-entropy+dice"])
@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_a_picture_counts_the_same_whatever_is_beside_it(kind: str, class_weights: str) -> None:
    made = objective(
        segmentation=SegmentationConfig(loss=kind),
        regularisation=RegularisationConfig(class_weights=class_weights),
        training=TrainingConfig(label_smoothing=0.1),
    )
    logits, targets = scene()
    outputs = {"out": logits, "aux": logits.flip(1)}
    whole = made.loss(outputs, targets)
    parts = [made.loss({k: v[i : i + 2] for k, v in outputs.items()}, targets[i : i + 2])
             for i in (0, 2)]  # fmt: skip
    assert torch.allclose(whole, torch.stack(parts).mean())


def test_the_auxiliary_loss_counts_half() -> None:
    logits, targets = scene()
    other = logits.flip(0)
    made = objective()
    main, aux = (made.loss({"out": x}, targets) for x in (logits, other))
    assert torch.allclose(made.loss({"out": logits, "aux": other}, targets), main + 0.5 * aux)


def test_a_picture_where_nothing_counts() -> None:
    logits, targets = scene(2)
    targets[1] = IGNORED
    logits.requires_grad_()
    made = objective(segmentation=SegmentationConfig(loss="cross-entropy+dice"))
    loss = made.loss({"out": logits}, targets)
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert logits.grad[0].abs().sum() > 0
    assert not logits.grad[1].any()
    assert picture_mean(torch.ones(2, 8, 8), targets)[1] == 64, "counted as one pixel, not none"


def test_dice_of_what_is_right_and_of_what_is_wrong() -> None:
    targets = torch.tensor([[[0, 0], [1, IGNORED]]])
    right = torch.full((1, 3, 2, 2), -50.0)
    right[0, 0, 0] = 50.0
    right[0, 1, 1] = 50.0
    assert dice_loss(right, targets).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(right.roll(1, 1), targets).item() == pytest.approx(1)
    half = right.clone()
    half[0, :, 0, 1] = right[0, :, 1, 0]  # one of the two pixels of 0 is called 1
    # 0: 2*1/(1+2), 1: 2*1/(2+1); class 2 is not shown and does not count
    assert dice_loss(half, targets).item() == pytest.approx(1 - 2 / 3)


def test_weights_are_one_on_average_over_the_pixels() -> None:
    weights = balanced_weights([60, 30, 10])
    assert torch.allclose((weights * torch.tensor([0.6, 0.3, 0.1])).sum(), torch.tensor(1.0))
    assert torch.allclose(weights * torch.tensor([60.0, 30, 10]), torch.full((3,), 100 / 3))
    assert balanced_weights([3, 0, 1]).tolist() == pytest.approx([4 / 6, 1, 2])


def test_figures_by_hand() -> None:
    true = torch.tensor([[[0, 0, 0, 0], [1, 1, 1, IGNORED]]], dtype=torch.int16)
    said = torch.tensor([[[0, 0, 0, 1], [1, 1, 0, 0]]])
    logits = F.one_hot(said, 4).movedim(-1, 1).float()
    made = objective(pixels=(4, 3, 0, 0))
    measured = made.measure({"out": logits}, true)
    assert measured.sums.dtype == torch.float64
    found = made.figures(measured.sums.tolist(), measured.rows)
    assert found.by_class == [3 / 5, 2 / 4, None, None]
    assert found.figures == {
        "miou": pytest.approx((3 / 5 + 2 / 4) / 2),
        "miou_foreground": pytest.approx(2 / 4),
        "dice": pytest.approx((6 / 8 + 4 / 6) / 2),
        "pixel_accuracy": pytest.approx(5 / 7),
    }
    wanted = F.cross_entropy(logits, true.long(), ignore_index=IGNORED)
    assert found.loss == pytest.approx(wanted.item())


def test_sums_of_parts_are_those_of_the_whole() -> None:
    logits, targets = scene()
    made = objective()
    parts = [made.measure({"out": logits[i : i + 2]}, targets[i : i + 2]) for i in (0, 2)]
    for some, whole in zip(joined(parts), made.measure({"out": logits}, targets), strict=True):
        assert torch.allclose(some, whole)


def test_where_nothing_is_known_there_is_no_figure() -> None:
    found = objective().figures([math.nan, *[0.0] * 9], torch.zeros(1, 2))
    assert (found.loss, found.figures, found.by_class) == (None, {}, [None] * 3)


@pytest.mark.parametrize(
    "asked", [{"mixup": 0.2}, {"cutmix": 1.0}, {"sampling": "balanced"}], ids=str
)
def test_what_is_for_pictures_of_one_class(asked: dict) -> None:
    with pytest.raises(UserError, match=rf"regularisation\.{next(iter(asked))}: is for pictures"):
        objective(regularisation=RegularisationConfig(**asked))


class TinySegmenter(nn.Module):
    """(B, 3, 8, 8) to logits by torchvision's names, with BatchNorm, Dropout and an auxiliary."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Conv2d(4, CLASSES, 1))
        self.aux_classifier = nn.Sequential(nn.Conv2d(4, CLASSES, 1))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.backbone(x)
        tops = {"out": self.classifier, "aux": self.aux_classifier}
        return {k: F.interpolate(top(features), size=x.shape[-2:]) for k, top in tops.items()}


class Scenes(sessions.TrainTensors):
    """Pictures in memory with masks."""

    def __init__(self) -> None:
        images, _ = sessions.pictures(10)
        super().__init__(images, scene(10)[1], batch_size=4)


def session(folder: Path, asked, saved=None, past: Past | None = None) -> Session:
    torch.manual_seed(0)
    folder.mkdir(exist_ok=True)
    module = TinySegmenter()
    info = model_info("torchvision/tiny", module, ["classifier.1", "aux_classifier.0"],
                      Preprocessing())  # fmt: skip
    data = Scenes()
    val = sessions.Batches([Batch(data.images[:6], data.labels[:6])])
    made = Session(
        asked, folder, info, module, ["0", "1", "2"], data, val,
        device.choose(replace(asked.training, device="cpu")), Segmenting(asked, [9, 5, 3]),
        restore.progress(asked, info, saved),
    )  # fmt: skip
    past = past or Past()
    past.follow(asked)
    restore.begin(made, past, saved, None)
    return made


def asked(**training):
    wanted = sessions.config(
        training=TrainingConfig(epochs=3, **training),
        segmentation=SegmentationConfig(loss="cross-entropy+dice"),
        regularisation=RegularisationConfig(ema=0.9, class_weights="balanced"),
    )
    return replace(wanted, task="semantic-segmentation")


def test_a_run_that_dies_goes_on_as_if_it_had_not(tmp_path: Path) -> None:
    from engine import checkpoint

    whole = session(tmp_path / "whole", asked())
    events = [event for event in train(whole) if event is not None]
    told = [event for event in events if isinstance(event, e.Evaluated)]
    assert {event.weights for event in told} == {"raw", "ema"}
    assert all(len(event.by_class) == CLASSES for event in told)
    assert isinstance(events[-1], e.RunFinished)

    first = session(tmp_path / "two", asked())
    for event in train(first):
        if isinstance(event, e.CheckpointSaved) and event.reason == "epoch":
            break
    saved, _ = checkpoint.newest(tmp_path / "two")
    assert saved is not None
    second = session(tmp_path / "two", asked(), saved)
    again = [event for event in train(second) if isinstance(event, e.Evaluated)]
    assert sessions.same(sessions.tensors(second.module), sessions.tensors(whole.module))
    assert [x.figures for x in again] == [x.figures for x in told[2:]]


def test_pieces_of_a_batch_come_to_the_same_step(tmp_path: Path) -> None:
    found = []
    for pieces in (1, 2):
        made = session(tmp_path / str(pieces), asked())
        made.module.eval()  # the statistics of norms are those of each piece
        for layer in made.module.modules():
            layer.train = lambda *_: None  # type: ignore[method-assign]
        made.progress.pieces = pieces
        batch = made.next_batch()
        from engine.loop import _backward

        _backward(made, batch, None)
        found.append({n: p.grad.clone() for n, p in made.module.named_parameters()})
    for name, grad in found[0].items():
        assert torch.allclose(grad, found[1][name], atol=1e-6), name
