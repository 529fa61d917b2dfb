"""A batch that does not fit in memory is cut in pieces; the step stays what it was."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.contract import events as e
from engine.contract.config import DataConfig
from engine.contract.errors import UserError
from engine.contract.training_tables import CheckpointConfig, TrainingConfig
from engine.evaluate import evaluate_all
from tests.engine import sessions
from tests.engine.sessions import ToyWorker, batches, config, fold, of, run, session, tensors

pytestmark = pytest.mark.usefixtures("one_thread")


class Small(nn.Module):
    """As a GPU would: more pictures at once than `fits` are too many. No norm, no dropout."""

    def __init__(self, fits: int) -> None:
        super().__init__()
        self.fits = fits
        self.head = nn.Linear(192, 3)

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        logits: Tensor = self.head(x.flatten(1))
        return logits


def small(fits: int) -> nn.Module:
    torch.manual_seed(3)
    return Small(fits)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_loss_curve_stays_what_it_was(tmp_path: Path, accumulate: int) -> None:
    asked = config(
        data=DataConfig(path="pictures", batch_size=8),
        training=TrainingConfig(epochs=3, accumulate=accumulate),
    )
    curves, weights, told = [], [], []
    for fits in (8, 2):
        made = session(tmp_path, asked, small(fits), batches(8, 8, 6), batches(2, 2))
        events = run(made)
        curves.append(fold([started(asked), *events]).loss.values)
        weights.append(tensors(made.module)["head.weight"])
        told.append([(x.step, x.pieces, x.samples) for x in of(e.MicroBatchHalved, events)])  # type: ignore[attr-defined]
    assert curves[1] == pytest.approx(curves[0], rel=1e-5)
    assert torch.allclose(*weights, rtol=1e-4, atol=1e-6)
    assert told == [[], [(0, 2, 4), (0, 4, 2)]]


def test_the_choice_is_kept_on_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = config(checkpoints=CheckpointConfig(every_steps=2))
    monkeypatch.setattr(sessions, "batches", lambda *_: batches(2, 1))  # to evaluate on
    worker = ToyWorker(tmp_path, asked, model=lambda: small(2))
    worker.live(steps=4)
    worker.live()
    assert fold(worker.journal).pieces == 2
    assert len(of(e.MicroBatchHalved, worker.journal)) == 1


def test_what_can_not_be_cut_any_more_fails(tmp_path: Path) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        run(session(tmp_path, config(), small(1)))


def test_an_optimizer_without_memory_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its step may have moved a part of the weights, so it is not taken again."""
    made = session(tmp_path, config(), small(8))

    def step() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(made.optimizer, "step", step)
    with pytest.raises(UserError, match="At step 1 there was not enough memory for the optimizer"):
        run(made)
    assert (made.progress.step, made.progress.pieces) == (0, 1)


def test_an_evaluation_is_cut_too(tmp_path: Path) -> None:
    figures = []
    for fits in (8, 3):
        made = session(tmp_path, config(data=DataConfig(path="x", batch_size=8)), small(8))
        made.val_data = batches(8, 5)
        made.module.fits = fits  # type: ignore[assignment]
        (evaluated,) = evaluate_all(made, "command") or []
        figures.append((evaluated.loss, evaluated.figures["top1"]))
        told = [(x.pieces, x.samples) for x in made.pending.flush()]  # type: ignore[attr-defined]
    assert figures[1] == pytest.approx(figures[0], rel=1e-6)
    assert told == [(2, 4), (4, 2)]


def started(asked: object) -> e.Event:
    return e.RunStarted(pid=1, host="", versions={}, config=asked)  # type: ignore[arg-type]
