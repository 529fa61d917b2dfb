"""What is looked for before a run starts: the rate and the size of batches."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine import find_batch, find_lr, memory
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.finding import LR_STEPS, RateTried, SizeTried, Suggested
from engine.contract.rules import Rule
from engine.contract.training_tables import OptimizerConfig, RegularisationConfig, TrainingConfig
from engine.session import Session
from tests.engine.sessions import (
    TrainTensors,
    config,
    of,
    run,
    same,
    session,
    tensors,
    tiny_net,
)

pytestmark = pytest.mark.usefixtures("one_thread")
"""Of small tensors."""


def telling(count: int = 96) -> tuple[Tensor, Tensor]:
    """Pictures whose class is how bright they are."""
    labels = torch.arange(count) % 3
    noise = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return noise + 2.0 * (labels - 1)[:, None, None, None], labels


def learning(folder: Path, asked: Config, net: nn.Module | None = None) -> Session:
    torch.manual_seed(0)
    module = net or nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    if net is None:
        module.add_module("head", nn.Linear(8, 3))
    return session(folder, asked, module, TrainTensors(*telling(), 8))
