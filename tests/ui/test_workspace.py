"""What the app holds, without a screen."""

from pathlib import Path

from engine.contract import events as e
from engine.runs.client import Run
from ftui.workspace import Workspace
from tests.ui.scripted import CONFIG


def test_a_new_draft_has_what_is_in_force(tmp_path: Path) -> None:
    workspace, run = Workspace(tmp_path), Run(tmp_path)
    started = e.TrainingStarted(
        step=0,
        epoch=1,
        epochs=10,
        steps_per_epoch=5,
        lr=0.01,
        device="cpu",
        device_name="",
        precision="fp32",
        threads=1,
    )
    run.state.apply(e.RunStarted(pid=1, host="", versions={}, config=CONFIG))
    run.state.apply(started)
    run.state.apply(e.LearningRateChanged(step=3, lr=0.5))
    workspace.open(run)
    workspace.new_draft()
    assert workspace.draft.config.optimizer.lr == 0.5
