"""A run whose frozen beginning is computed once comes to what it would come to anyway."""

from pathlib import Path

import pytest
import torch
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.config import Config, TrainingConfig
from engine.contract.rules import Rule
from tests.engine.sessions import (
    TrainTensors,
    config,
    of,
    pictures,
    run,
    same,
    session,
    tensors,
)

pytestmark = pytest.mark.usefixtures("one_thread", "unhindered")
HEAD = [Rule("*", train=False), Rule("head")]
BODY = [*HEAD, Rule("body")]


def asked(cache: str, rules: list[Rule], epochs: int = 3) -> Config:
    training = TrainingConfig(epochs=epochs, threads=1, cache=cache)  # type: ignore[arg-type]
    return config(trainable=rules, training=training)


def even() -> TrainTensors:
    """16 pictures in batches of 4: the size of a batch moves the last bit of what kernels give."""
    return TrainTensors(*pictures(16), 4)


@pytest.mark.parametrize("rules", [HEAD, BODY])
@pytest.mark.parametrize(
    "script",
    [
        [],
        [(3, c.Thaw(id="1", pattern="body"))],
        [(3, c.Thaw(id="1", pattern="*"))],
        [(2, c.Thaw(id="1", pattern="*")), (6, c.Freeze(id="2", pattern="stem"))],
        [(5, c.SetOption(id="1", key="data.augment_strength", value="0.5"))],
        [(6, c.Rewind(id="1", step=4))],
    ],
)
def test_the_same_losses_and_weights(
    tmp_path: Path, rules: list[Rule], script: list[tuple[int, c.AnyCommand]]
) -> None:
    came_to = []
    for cache in ("off", "auto"):
        folder = tmp_path / cache
        folder.mkdir()
        made = session(folder, asked(cache, rules), data=even())
        events = run(made, script)
        told = {x.data for x in of(e.PrefixCached, events) if x.cut}  # type: ignore[attr-defined]
        assert told == ({"training", "validation"} if cache == "auto" else set())
        losses = [x.loss for x in of(e.StepsTrained, events)]  # type: ignore[attr-defined]
        judged = [x.loss for x in of(e.Evaluated, events)]  # type: ignore[attr-defined]
        came_to.append((losses, judged, tensors(made.module)))
    (*plain, weights), (*cached, others) = came_to
    assert plain == cached
    assert same(weights, others)
