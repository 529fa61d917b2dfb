"""What is kept of an evaluation, sample by sample."""

import io
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from msgspec.structs import replace
from PIL import Image
from torch.nn import functional as F

from engine import predictions
from engine.contract import events as e
from engine.contract.config import SegmentationConfig
from engine.contract.predictions import BEST, MASKS, NEWEST, Cell, Counts, Predictions, Row
from engine.data.batch import Batch
from engine.data.masks import IGNORED
from engine.evaluate import evaluate_all
from engine.runs.predictions import as_csv, load
from engine.tally import Tally
from engine.tasks.classifying import Classifying
from engine.tasks.measured import Measured, Verdict
from engine.tasks.multi_label import MultiLabel
from engine.tasks.next_token import NextToken
from engine.tasks.segmenting import Segmenting
from tests.engine.sessions import Batches, config, of, pictures, run, same, session, tensors

pytestmark = pytest.mark.usefixtures("one_thread")


def test_classification_by_hand() -> None:
    objective = Classifying(config(), [1, 1, 1])
    logits = torch.tensor([[0.0, math.log(3), 0.0], [0.0, 0.0, 0.0], [0.0, math.log(8), 0.0]])
    sums, rows, masks = objective.measure(logits, torch.tensor([1, 0, 2]))
    assert masks is None
    assert rows[:, 0].tolist() == pytest.approx([math.log(5 / 3), math.log(3), math.log(10)])
    verdicts = list(objective.verdicts(rows))
    assert [x.labels for x in verdicts] == [(1,), (0,), (2,)]
    assert [x.said for x in verdicts] == [(1,), (0,), (1,)]
    assert [x.score for x in verdicts] == pytest.approx([3 / 5, 1 / 3, 8 / 10])
    outcome = objective.outcome(sums.tolist(), rows)
    assert outcome.cells == [Cell(0, 0, 1), Cell(1, 1, 1), Cell(2, 1, 1)]
    assert outcome.counts == [Counts(1, 1, 1), Counts(1, 2, 1), Counts(0, 0, 1)]


def test_several_labels_by_hand() -> None:
    objective = MultiLabel(config(), 3)
    logits, targets = (
        torch.tensor([[1.0, -1, 1], [-1, -1, -1]]),
        torch.tensor([[1.0, 1, 0], [0] * 3]),
    )
    sums, rows, _ = objective.measure(logits, targets)
    assert list(objective.verdicts(rows)) == [Verdict([0, 1], [0, 2]), Verdict([], [])]
    outcome = objective.outcome(sums.tolist(), rows)
    assert outcome.counts == [Counts(1, 1, 1), Counts(0, 0, 1), Counts(0, 1, 0)]
    assert outcome.cells == []
    wanted = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)
    assert torch.equal(rows[:, 0], wanted)


def test_segmentation_by_hand() -> None:
    asked = replace(config(), task="semantic-segmentation", segmentation=SegmentationConfig())
    objective = Segmenting(asked, [5, 4, 1])
    true = torch.tensor([[[0, 0], [1, IGNORED]], [[IGNORED] * 2] * 2], dtype=torch.int16)
    said = torch.tensor([[[0, 1], [1, 1]], [[0, 0], [0, 0]]])
    logits = F.one_hot(said, 3).movedim(-1, 1).float()
    sums, rows, masks = objective.measure({"out": logits}, true)
    assert masks is not None
    assert torch.equal(masks[:, 0], true)
    assert torch.equal(masks[:, 1].long(), said)
    first, nothing = objective.verdicts(rows)
    assert first == Verdict(score=pytest.approx((1 / 2 + 1 / 2) / 2))
    assert nothing.score is None
    outcome = objective.outcome(sums.tolist(), rows)
    assert outcome.cells == [Cell(0, 0, 1), Cell(0, 1, 1), Cell(1, 1, 1)]
    assert outcome.counts == [Counts(1, 1, 2), Counts(1, 2, 1), Counts(0, 0, 0)]


def test_blocks_have_a_perplexity() -> None:
    objective = NextToken(config(), None, [], 4)
    sums, rows, _ = objective.measure(torch.zeros(2, 4, 10), torch.ones(2, 4, dtype=torch.long))
    assert [x.score for x in objective.verdicts(rows)] == pytest.approx([10, 10])
    assert objective.outcome(sums.tolist(), rows) == ([], [])


def test_the_worst_masks_are_kept_however_they_come() -> None:
    tally = Tally()
    losses = torch.arange(40.0)[torch.randperm(40, generator=torch.Generator().manual_seed(0))]
    losses[7] = math.nan
    for start in range(0, 40, 3):
        some = losses[start : start + 3]
        masks = torch.arange(start, start + len(some))[:, None, None, None].expand(-1, 2, 1, 1)
        tally.add(Measured(some.sum()[None], some[:, None], masks), range(start, start + len(some)))
    tally.read()
    worst = losses.nan_to_num(nan=math.inf).argsort(descending=True)[:MASKS]
    assert sorted(tally.masks) == sorted(worst.tolist())
    assert all(int(mask[0, 0, 0]) == row for row, mask in tally.masks.items())


def named(folder: Path, *sizes: int):
    """A session whose validation samples have names; their numbers count from 10."""
    folder.mkdir(exist_ok=True)
    numbers = iter(range(10, 1000))
    val = Batches(
        Batch(*pictures(size, seed=n), numbers=[next(numbers) for _ in range(size)])
        for n, size in enumerate(sizes)
    )
    made = session(folder, val_data=val)
    made.name_of = "{}.png".format
    return made


def test_a_run_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    made = named(tmp_path, 4, 3)
    told = run(made)
    saved = [x for x in told if isinstance(x, e.PredictionsSaved)]
    assert {x.path for x in saved} == {NEWEST, BEST}
    evaluated = [x for x in told if isinstance(x, e.Evaluated)]
    newest, best = load(tmp_path, NEWEST), load(tmp_path, BEST)
    assert (newest.step, newest.samples) == (evaluated[-1].step, 7)
    lowest = min(evaluated, key=lambda x: x.loss or 0)
    assert best.step == lowest.step
    losses = [row.loss or 0 for row in best.rows]
    assert losses == sorted(losses, reverse=True)
    assert sum(losses) / 7 == pytest.approx(lowest.loss)
    assert sum(cell.times for cell in best.cells if cell.true == cell.said) / 7 == pytest.approx(
        lowest.figures["top1"]
    )
    assert sorted(row.number for row in best.rows) == list(range(10, 17))
    assert all(row.name == f"{row.number}.png" for row in best.rows)
    assert not list((tmp_path / "predictions").glob(".*"))


def test_pieces_of_batches_come_to_the_same(tmp_path: Path) -> None:
    made = named(tmp_path, 4, 3)
    evaluate_all(made, "command")
    whole = load(tmp_path, NEWEST)
    made.progress.pieces = 2
    evaluate_all(made, "command")
    parts = load(tmp_path, NEWEST)
    assert [row.number for row in parts.rows] == [row.number for row in whole.rows]
    assert (parts.cells, parts.counts) == (whole.cells, whole.counts)


def test_to_keep_them_changes_nothing_of_training(tmp_path: Path) -> None:
    kept = named(tmp_path / "a", 4, 3)
    of_kept = run(kept)
    plain = named(tmp_path / "b", 4, 3)  # which seeds the generators anew
    plain.name_of = None
    of_plain = run(plain)
    assert same(tensors(kept.module), tensors(plain.module))
    assert [x.loss for x in of_kept if isinstance(x, e.Evaluated)] == [
        x.loss for x in of_plain if isinstance(x, e.Evaluated)
    ]
    assert not of(e.PredictionsSaved, of_plain)


def test_a_disk_that_refuses_is_told_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "predictions").write_text("in the way")
    told = run(named(tmp_path, 4))
    assert isinstance(told[-1], e.RunFinished)
    warned = [x.message for x in told if isinstance(x, e.Warned)]
    assert len(warned) == len(of(e.Evaluated, told))
    assert warned[0].startswith("predictions/newest.json could not be written (")
    assert not of(e.PredictionsSaved, told)


def test_many_samples_stay_a_small_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "ROWS", 3)
    evaluate_all(named(tmp_path, 4, 3), "command")
    found = load(tmp_path, NEWEST)
    assert (len(found.rows), found.samples, sum(x.times for x in found.cells)) == (3, 7, 7)


def test_losses_that_are_not_finite_are_the_worst(tmp_path: Path) -> None:
    made = named(tmp_path, 4)
    made.val_data[0].inputs[2] = math.nan  # type: ignore[index]
    evaluate_all(made, "command")
    first, *others = load(tmp_path, NEWEST).rows
    assert (first.number, first.loss) == (12, None)
    assert all(row.loss is not None for row in others)


def test_masks_are_pngs_of_classes_plus_one(tmp_path: Path) -> None:
    masks = predictions._masks(5, torch.tensor([[[0, IGNORED]], [[2, 300]]]))
    true, said = (np.asarray(Image.open(io.BytesIO(png))) for png in (masks.true, masks.said))
    assert (true.tolist(), said.tolist()) == ([[1, 0]], [[3, 301]])


def some(*rows: Row, **others) -> Predictions:
    plain = {"task": "image-classification", "step": 1, "epoch": 1, "samples": 2, "cells": []}
    counts = [Counts(1, 2, 4), Counts(0, 0, 0)]
    asked = {"classes": ["cat", '@"dog",'], "score": "probability", "counts": counts}
    return Predictions(rows=list(rows), **(plain | asked | others))


def test_figures_by_hand() -> None:
    cat, dog = some().figures()
    assert cat == ("cat", 1 / 2, 1 / 4, 2 / 6, 1 / 5, 4)
    assert dog == ('@"dog",', None, None, None, None, 0)


def test_csv_has_nothing_that_a_spreadsheet_computes() -> None:
    found = some(
        Row(7, "=cmd|' /C calc'!A0", None, [1], [0], 0.5), Row(2, "b\n.png", 0.25, [0], [], None)
    )
    assert as_csv(found).splitlines() == [
        "sample,name,loss,label,predicted,probability",
        '7,\'=cmd|\' /C calc\'!A0,,"\'@""dog"",",cat,0.5',
        '2,"b',
        '.png",0.25,cat,,',
    ]
    texts = some(Row(0, "block 1", 1.5, [], [], 4.48), classes=[], counts=[], score="perplexity")
    assert as_csv(texts) == "sample,name,loss,perplexity\n0,block 1,1.5,4.48\n"


def test_what_can_not_be_read_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"newest\.json can't be read \(No such file"):
        load(tmp_path, NEWEST)
    (tmp_path / "predictions").mkdir()
    (tmp_path / NEWEST).write_bytes(msgspec.json.encode(some())[:-5])
    with pytest.raises(Exception, match="can't be understood; v evaluates anew"):
        load(tmp_path, NEWEST)
