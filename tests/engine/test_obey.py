from pathlib import Path

import pytest

from engine import pending
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.rules import Rule
from engine.contract.training_tables import OptimizerConfig, ScheduleConfig, TrainingConfig
from engine.obey import obey
from engine.session import Session
from tests.engine.sessions import ALL, config, of, run, session

pytestmark = pytest.mark.usefixtures("one_thread")

HEAD = [Rule("*", train=False), Rule("head")]


def kinds(events: list[e.Event]) -> list[type[e.Event]]:
    return [type(event) for event in events]


def rejected(made: Session, command: c.AnyCommand) -> str:
    """The reason; nothing is changed by a command that is rejected."""
    before = made.progress.rules, made.progress.base_lr, list(made.progress.steering)
    (event,) = obey(made, command)
    assert isinstance(event, e.CommandRejected)
    assert event.command == command
    assert before == (made.progress.rules, made.progress.base_lr, made.progress.steering)
    return event.reason


@pytest.fixture
def made(tmp_path: Path) -> Session:
    return session(tmp_path, config(trainable=HEAD))


def test_a_new_rate_is_in_force_from_the_next_step(tmp_path: Path) -> None:
    asked = config(
        optimizer=OptimizerConfig(lr=0.1),
        schedule=ScheduleConfig("constant"),
        training=TrainingConfig(epochs=1),
    )
    command = c.SetLearningRate(0.5)
    events = run(session(tmp_path, asked), [(2, command)])
    told = [lr for x in of(e.StepsTrained, events) for lr in x.lr]
    assert told == [0.1, 0.1, 0.5, 0.5, 0.5]
    effect, answer = events[(at := kinds(events).index(e.LearningRateChanged)) : at + 2]
    assert (effect.step, effect.lr) == (2, 0.5)
    assert answer == e.CommandApplied(step=2, epoch=1, command=command, time=answer.time)


def test_steps_taken_are_told_before_what_a_command_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "SECONDS_BETWEEN_FLUSHES", float("inf"))
    events = run(session(tmp_path), [(2, c.Pause()), (2, c.Resume()), (3, c.Freeze("stem"))])
    first, *_ = (event for event in events if isinstance(event, e.StepsTrained))
    after = events[events.index(first) :]
    assert kinds(after)[:7] == [
        *(e.StepsTrained, e.RunPaused, e.CommandApplied, e.RunContinued, e.CommandApplied),
        *(e.StepsTrained, e.PlanChanged),
    ]


@pytest.mark.parametrize("lr", [0.0, -1.0, 1001.0, float("nan"), float("inf")])
def test_a_rate_must_be_one_that_a_config_takes(made: Session, lr: float) -> None:
    assert "above 0 and at most 1000" in rejected(made, c.SetLearningRate(lr))


def test_thawing_and_freezing_change_what_trains(made: Session) -> None:
    *_, changed, applied = obey(made, c.Thaw("body", 0.1))
    assert isinstance(changed, e.PlanChanged)
    assert isinstance(applied, e.CommandApplied)
    assert changed.rules == [*HEAD, Rule("body", lr_scale=0.1)]
    assert changed.change == "thaw body"
    names = {name for name, p in made.module.named_parameters() if p.requires_grad}
    assert names == {"head.weight", "head.bias", "body.0.weight", "body.1.weight", "body.1.bias"}
    assert changed.trainable == sum(made.module.get_parameter(n).numel() for n in names)
    list(obey(made, c.Freeze("body")))
    assert made.progress.rules == [*HEAD, Rule("body", train=False)]


def test_a_whole_plan_takes_the_place_of_the_old(made: Session) -> None:
    list(obey(made, c.SetPlan(ALL)))
    assert made.progress.rules == ALL
    list(obey(made, c.SetPlan([])))
    assert made.progress.rules == HEAD


def test_a_pattern_that_matches_nothing_is_rejected_with_the_nearest(made: Session) -> None:
    reason = rejected(made, c.Thaw("boody"))
    assert '"boody" matches no parameter' in reason
    assert '"body"' in reason
    assert "matches no parameter" in rejected(made, c.SetPlan([Rule("type:Conv9d")]))


def test_freezing_everything_is_rejected(made: Session) -> None:
    assert "at least one" in rejected(made, c.Freeze("*"))
    assert "at least one" in rejected(made, c.Freeze("head"))
    assert any(p.requires_grad for p in made.module.parameters())


@pytest.mark.parametrize("lr_scale", [-1.0, float("nan"), 1e9])
def test_a_scale_out_of_range_is_rejected(made: Session, lr_scale: float) -> None:
    assert "lr_scale must be" in rejected(made, c.Thaw("body", lr_scale))


def test_to_pause_twice_and_to_resume_twice_is_fine(made: Session) -> None:
    assert kinds(list(obey(made, c.Resume()))) == [e.CommandApplied]
    assert kinds(list(obey(made, c.Pause()))) == [e.RunPaused, e.CommandApplied]
    assert kinds(list(obey(made, c.Pause()))) == [e.CommandApplied]
    assert made.paused
    assert kinds(list(obey(made, c.Resume()))) == [e.RunContinued, e.CommandApplied]
    assert not made.paused


def test_an_evaluation_and_a_checkpoint_on_demand(made: Session) -> None:
    *_, evaluated, applied = obey(made, c.Evaluate())
    assert isinstance(evaluated, e.Evaluated)
    assert (evaluated.reason, evaluated.step) == ("command", 0)
    assert isinstance(applied, e.CommandApplied)
    assert made.progress.best is None, "only epochs count for the best"
    checkpoint, _ = obey(made, c.Checkpoint())
    assert isinstance(checkpoint, e.CheckpointSaved)
    assert checkpoint.reason == "command"
    assert (made.folder / checkpoint.path / "trained.safetensors").is_file()


def test_a_stop_saves_and_asks_the_worker_to_end(made: Session) -> None:
    checkpoint, applied = obey(made, c.Stop())
    assert isinstance(checkpoint, e.CheckpointSaved)
    assert checkpoint.reason == "stop"
    assert isinstance(applied, e.CommandApplied)
    assert made.stopping == "command"


def test_a_stop_that_can_not_save_is_rejected_and_the_run_goes_on(made: Session) -> None:
    (made.folder / "checkpoints").write_text("a file where the folder should be")
    assert "could not be saved" in rejected(made, c.Stop())
    assert not made.stopping
    assert "could not be saved" in rejected(made, c.Checkpoint())


def test_ids_of_steering_commands_are_kept_for_the_checkpoint(made: Session) -> None:
    commands = [c.SetLearningRate(0.1), c.Pause(), c.Thaw("body"), c.Freeze("nothing"), c.Resume()]
    for command in commands:
        list(obey(made, command))
    assert made.progress.steering == [commands[0].id, commands[2].id]
