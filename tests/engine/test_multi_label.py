"""What is measured of pictures with several labels."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from engine.tasks.measured import joined
from engine.tasks.multi_label import MultiLabel, macro_f1, mean_average_precision
from tests.engine.sessions import config


def by_definition(scores: Tensor, targets: Tensor) -> float:
    """sum (R_n - R_n-1) P_n of one class, over its distinct scores as thresholds."""
    points = [(0.0, 1.0)]
    for threshold in sorted(set(scores.tolist()), reverse=True):
        said = scores >= threshold
        right = (said & targets).sum()
        points.append((float(right / targets.sum()), float(right / said.sum())))
    return sum((after[0] - before[0]) * after[1] for before, after in pairwise(points))


def test_average_precision_with_ties() -> None:
    torch.manual_seed(0)
    scores = torch.randint(0, 12, (40, 3)).double()
    targets = torch.rand(40, 3) < 0.3
    wanted = sum(by_definition(s, t) for s, t in zip(scores.T, targets.T, strict=True)) / 3
    assert mean_average_precision(scores, targets) == pytest.approx(wanted, rel=1e-6)
    perfect = targets.double()
    assert mean_average_precision(perfect, targets) == pytest.approx(1)
    constant = torch.zeros_like(scores)
    shares = targets.double().mean(0)
    assert mean_average_precision(constant, targets) == pytest.approx(float(shares.mean()))


def test_figures_do_not_depend_on_batches() -> None:
    torch.manual_seed(0)
    objective = MultiLabel(config(), 3)
    logits, targets = torch.randn(10, 3), (torch.rand(10, 3) < 0.4).float()
    whole = objective.figures([], objective.measure(logits, targets).rows)
    parts = [objective.measure(logits[some], targets[some]) for some in (slice(3), slice(3, 10))]
    assert objective.figures([], joined(parts).rows) == whole
    assert whole.loss == pytest.approx(float(objective.loss(logits, targets)), rel=1e-6)
    said = logits > 0
    assert whole.figures["exact"] == pytest.approx(
        sum(bool((said[n] == (targets[n] > 0)).all()) for n in range(10)) / 10
    )


def test_macro_f1_by_hand() -> None:
    said = torch.tensor([[1, 0], [1, 0], [0, 0]]).bool()
    targets = torch.tensor([[1, 0], [0, 0], [1, 0]]).bool()
    assert macro_f1(said, targets) == pytest.approx(2 * 1 / 4)
