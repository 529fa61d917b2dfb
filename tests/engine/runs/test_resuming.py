"""Runs that are resumed, by real worker processes."""

from pathlib import Path

import msgspec
import pytest

from engine.contract import commands as c
from engine.contract import events as e
from engine.contract import toml
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.training_tables import TrainingConfig
from engine.runs import store
from engine.runs.client import Run, resume, start
from engine.runs.journal import event_tail
from tests.engine.runs.conftest import first_step, kill, wait_until_free
from tests.ui.scripted import ScriptedRun


async def test_a_stopped_run_is_resumed(live: Run) -> None:
    await live.send(c.Stop())
    wait_until_free(live.folder)
    again = await resume(live.folder, module="waits")
    assert [type(x).__name__ async for x in again.events(follow=False)][-1] == "RunStopped"
    assert again.status == "preparing"
    (again.folder / "go").touch()
    async for event in again.events():  # goes on beyond the old end
        if isinstance(event, e.RunResumed):
            break
    await again.send(c.Stop())


async def test_a_crashed_run_is_resumed_with_changes(live: Run, runs: Path) -> None:
    await first_step(live)
    assert live.state.pid
    kill(live.state.pid)
    wait_until_free(live.folder)
    again = await resume(live.folder.name, ["optimizer.lr=0.5"], runs, module="speaker")
    async for event in again.events():
        if isinstance(event, e.RunResumed):
            break
    assert again.state.config
    assert again.state.config.optimizer.lr == 0.5
    assert toml.load(again.folder / "config.toml").optimizer.lr == 0.5
    await again.send(c.Stop())


async def test_what_a_resume_sets_wins_over_a_live_change(live: Run) -> None:
    """Also where it is what the config says already."""
    await live.send(c.SetLearningRate(0.3))
    await live.send(c.SetOption("early_stopping.patience", "2"))
    await live.send(c.Stop())
    wait_until_free(live.folder)
    said = ["optimizer.lr = 0.01", "early_stopping.patience=0", "training.seed=0"]
    again = await resume(live.folder, said, module="speaker")
    await again.send(c.Stop())
    obeyed = [x.command for x in event_tail(live.folder).read() if isinstance(x, e.CommandApplied)]
    assert [c.describe(x) for x in obeyed][-3:] == ["lr 0.01", "patience 0", "stop"]


async def test_a_run_is_resumed_without_its_weights_file(
    config: Config, runs: Path, tmp_path: Path
) -> None:
    (tmp_path / "w.pth").touch()
    model = msgspec.structs.replace(config.model, weights=str(tmp_path / "w.pth"))
    run = await start(msgspec.structs.replace(config, model=model), runs, module="speaker")
    await run.send(c.Stop())
    wait_until_free(run.folder)
    (tmp_path / "w.pth").unlink()
    again = await resume(run.folder, ["optimizer.lr=0.5"], module="speaker")
    assert toml.load(again.folder / "config.toml").model == model
    await again.send(c.Stop())


async def test_a_living_run_is_not_resumed(live: Run) -> None:
    with pytest.raises(UserError, match=r"is not over.*ftui attach"):
        await resume(live.folder)


async def test_a_finished_run_wants_more_epochs(short: Config, runs: Path) -> None:
    run = await start(short, runs, module="speaker")
    async for _ in run.events():
        pass
    with pytest.raises(UserError, match=r"finished its 1 epochs; '--set training.epochs=2'"):
        await resume(run.folder)
    again = await resume(run.folder, ["training.epochs=3"], module="speaker")
    await again.send(c.Stop())


async def test_a_stopped_run_can_not_have_fewer_epochs_than_have_begun(
    config: Config, runs: Path
) -> None:
    run = ScriptedRun(runs / "stopped", config, live=False)
    run.start()
    run.tell(e.EpochStarted(epoch=3, step=4), e.RunStopped(step=5, by="command"))
    with pytest.raises(UserError, match=r"epoch 3 is under way, so it can't be 2\."):
        await resume(run.folder, ["training.epochs=2"])
    again = await resume(run.folder, ["training.epochs=3"], module="speaker")
    await again.send(c.Stop())


def ended_early(folder: Path, config: Config) -> Run:
    """A scripted run that early stopping has ended in its first of ten epochs."""
    run = ScriptedRun(folder, config, live=False)
    run.start()
    run.tell(e.EarlyStopped(step=0, metric="val_loss", best=1.0, patience=1), e.RunFinished(step=0))
    return Run(run.folder)


async def test_a_run_that_early_stopping_ended_is_resumed_as_it_is(
    config: Config, runs: Path
) -> None:
    asked = msgspec.structs.replace(config, training=TrainingConfig(epochs=10))
    run = ended_early(runs / "early", asked)
    with pytest.raises(UserError, match="finished its 1 epochs"):
        await resume(run.folder, ["training.epochs=1"])
    again = await resume(run.folder, module="speaker")
    await again.send(c.Stop())


async def test_a_wrong_override_changes_nothing(live: Run) -> None:
    await live.send(c.Stop())
    wait_until_free(live.folder)
    before = (live.folder / "config.toml").read_text()
    for override in ("training.epoch=3", "data.path=/no/such/folder"):
        with pytest.raises(UserError):
            await resume(live.folder, [override])
    assert (live.folder / "config.toml").read_text() == before
    assert store.state_of(live.folder)[1] == "stopped"
