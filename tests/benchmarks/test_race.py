"""The race is a fair one: whoever trains, it is the same training."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.benchmarks.race import bare, pictures, with_ftui
from tests.benchmarks.race.asked import Job
from tests.benchmarks.race.shared import Watch

EXACT = ["training.precision=fp32", "training.channels_last=false", "training.threads=1"]
LAST = "early_stopping.restore_best=false"


@pytest.mark.slow
async def test_bare_and_ftui_come_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "SIZE", (98, 73))  # ftui decodes larger ones at a fraction
    weights, model = tmp_path / "start.safetensors", "torchvision/resnet18"
    pre = pictures.start(weights, model, "none", 64, 7, lambda _: None)
    pictures.write(tmp_path / "data", 7)
    job = Job(
        model=model,
        weights=str(weights),
        plan="full",
        data=str(tmp_path / "data"),
        preprocessing=pre,
        batch_size=7,  # all at once, in whatever order
        epochs=2,
        settings=[*EXACT, LAST],
    )
    watch = Watch(started=0.0)
    theirs = bare.train(job, watch).state_dict()
    seen = await with_ftui.follow(job, tmp_path / "runs", started=0.0)
    (run,) = (tmp_path / "runs").iterdir()
    ours, began = load_file(run / "model.safetensors"), load_file(weights)
    moved, off = (theirs["fc.weight"] - x["fc.weight"] for x in (began, ours))
    assert moved.norm() > 1e-3
    assert off.norm() < 0.1 * moved.norm()
    assert len(watch.seen.epochs) == len(seen.epochs) == job.epochs
