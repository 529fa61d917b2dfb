"""A small causal language model on a real text, killed and resumed, by real processes."""

import json
import os
import pydoc_data.topics
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.e2e.conftest import Home
from tests.engine.language import written

pytestmark = pytest.mark.slow

CHARACTERS = 20_000


@pytest.fixture
def config(home: Home) -> Path:
    """A GPT-2 of two layers on the beginning of Python's own documentation."""
    torch.manual_seed(0)
    written(home.folder / "model")
    topics = "\n".join(pydoc_data.topics.topics.values())
    (home.folder / "text.txt").write_text(topics[:CHARACTERS])
    return home.config(
        task='"causal-lm"',
        model__name='"./model"',
        model__weights='"DEFAULT"',
        data__path='"text.txt"',
        data__image_size='"auto"',
        data__batch_size="16",
        text__max_length="32",
        text__sample_tokens="8",
        training__epochs="3",
        optimizer__name='"adamw"',
        optimizer__lr="0.003",
        trainable='[{match = "*"}]',
        checkpoints__every_steps="5",
    )


def told(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / "events.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == kind]


def test_perplexity_falls_on_a_real_text_and_a_killed_run_ends_alike(
    home: Home, config: Path
) -> None:
    straight = home.ftui("train", str(config), "--foreground")
    assert straight.returncode == 0, straight.stderr
    assert "text: " in straight.stdout
    reference = Path(straight.stdout.splitlines()[-1])
    values = [x["figures"]["perplexity"] for x in told(reference, "Evaluated")]
    assert values[0] > values[-1]

    assert home.ftui("train", str(config)).returncode == 0
    run = home.wait_for_run(lambda run: run["step"] >= 7)
    os.kill(run["pid"], signal.SIGKILL)
    resumed = home.ftui("resume", run["name"], "--foreground")
    assert resumed.returncode == 0, resumed.stderr
    again = Path(run["path"])
    weights, others = (load_file(x / "model.safetensors") for x in (reference, again))
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    one, other = (
        {x["step"]: x["text"] for x in told(y, "TextGenerated")} for y in (reference, again)
    )
    assert one == other
