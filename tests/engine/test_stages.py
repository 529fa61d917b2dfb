"""A schedule of plans: when each stage begins, and how it lives together with edits."""

from pathlib import Path

import pytest

from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.rules import Rule, Stage
from engine.contract.training_tables import EarlyStoppingConfig, OptimizerConfig, TrainingConfig
from tests.engine.sessions import Script, ToyWorker, config, of, run, session, tensors

pytestmark = pytest.mark.usefixtures("one_thread")

FREEZE = Rule("*", train=False)
HEAD = [FREEZE, Rule("head")]
BODY_LATER = Stage(after="2 epochs", trainable=[Rule("body", lr_scale=0.1)])
ALL_AFTER_THREE_STEPS = Stage(after="3 steps", trainable=[Rule("*")])


def asked(*stages: Stage, epochs: int = 4, **tables: object) -> Config:
    """Five steps an epoch."""
    return config(
        trainable=HEAD,
        stages=list(stages),
        training=TrainingConfig(epochs=epochs),
        **tables,  # type: ignore[arg-type]
    )


def plans(events: list[e.Event]) -> list[tuple[int, str, list[Rule]]]:
    """Step, change and rules of each plan, the first left out."""
    return [(x.step, x.change, x.rules) for x in of(e.PlanChanged, events)][1:]  # type: ignore[attr-defined]


def test_head_for_two_epochs_then_the_body_then_all(tmp_path: Path) -> None:
    made = session(tmp_path, asked(BODY_LATER, ALL_AFTER_THREE_STEPS))
    before = tensors(made.module)
    moved: dict[int, set[str]] = {}
    events = []
    from engine.loop import train

    for event in train(made):
        if event is not None:
            events.append(event)
            continue
        now = made.module.state_dict()
        moved[made.progress.step] = {
            name.split(".")[0] for name in before if not before[name].equal(now[name])
        }
    assert [(step, what) for step, what, _ in plans(events)] == [(10, "stage 1"), (13, "stage 2")]
    assert plans(events)[0][2] == [FREEZE, Rule("head"), Rule("body", lr_scale=0.1)]
    assert plans(events)[1][2] == [Rule("*")]
    assert moved[10] == {"head"}
    assert moved[13] == {"head", "body"}
    assert moved[14] == {"head", "body", "stem"}
    (first, second, third) = of(e.PlanChanged, events)
    assert [len(x.stages) for x in (first, second, third)] == [2, 1, 0]  # type: ignore[attr-defined]


def test_when_validation_stalls(tmp_path: Path) -> None:
    """Nothing moves at this rate, so nothing gets better: the first evaluation is the best."""
    stalled = Stage(after="stalled 2", trainable=[Rule("body")])
    again = Stage(after="stalled 1", trainable=[Rule("*")])
    still = OptimizerConfig(lr=1e-12)
    strict = EarlyStoppingConfig(min_delta=0.5)
    made = asked(stalled, again, epochs=6, optimizer=still, early_stopping=strict)
    events = run(session(tmp_path, made))
    assert [(step, what) for step, what, _ in plans(events)] == [(15, "stage 1"), (25, "stage 2")]


def test_a_stage_comes_on_top_of_edits_and_edits_on_top_of_a_stage(tmp_path: Path) -> None:
    script = [(3, c.Thaw("stem", 0.5)), (7, c.Freeze("head")), (12, c.Freeze("body.0"))]
    events = run(session(tmp_path, asked(BODY_LATER)), script)
    stem, body = Rule("stem", lr_scale=0.5), Rule("body", lr_scale=0.1)
    head = Rule("head", train=False)
    assert plans(events)[-1][2] == [FREEZE, stem, head, body, Rule("body.0", train=False)]


def test_stages_to_come_are_called_off_and_changed_live(tmp_path: Path) -> None:
    off = run(session(tmp_path, asked(BODY_LATER)), [(3, c.SetStages([]))])
    assert [what for _, what, _ in plans(off)] == ["no stages to come"]
    now = [Stage("0 steps", [Rule("stem")]), BODY_LATER]
    (tmp_path / "on").mkdir()
    on = run(session(tmp_path / "on", asked(BODY_LATER)), [(3, c.SetStages(now))])
    assert [(step, what) for step, what, _ in plans(on)] == [
        *((3, "2 stages to come"), (3, "stage 1"), (10, "stage 2"))
    ]


def test_stages_that_are_sent_late_count_from_then(tmp_path: Path) -> None:
    """Epochs from the one under way, or about to begin; steps from the last one."""
    for when, after, due in ((10, "2 epochs", 20), (12, "1 epoch", 15), (12, "2 steps", 14)):
        folder = tmp_path / f"{when} {after}"
        folder.mkdir()
        sent = c.SetStages([Stage(after, [Rule("body")])])
        script: Script = [(when + 0.5 * (when % 5 == 0), sent)]
        worker = ToyWorker(folder, asked(epochs=6), script)
        worker.live()
        assert plans(worker.journal)[1][:2] == (due, "stage 1")


def test_a_stage_that_would_train_nothing_is_passed_over(tmp_path: Path) -> None:
    stage = Stage("1 epoch", [Rule("head", train=False)])
    events = run(session(tmp_path, asked(stage)))
    (warning,) = of(e.Warned, events)
    assert "Stage 1 is passed over: trainable: the plan freezes every parameter" in str(warning)
    assert plans(events) == []


@pytest.mark.parametrize("command", [False, True])
def test_a_rule_that_matches_nothing_is_refused_at_once(tmp_path: Path, command: bool) -> None:
    wrong = Stage("1 epoch", [Rule("bodi")])
    if not command:
        with pytest.raises(UserError, match=r'stages, number 1: .*"bodi" matches .* mean "body"'):
            session(tmp_path, asked(wrong))
        return
    events = run(session(tmp_path, asked()), [(2, c.SetStages([wrong]))])
    (refused,) = of(e.CommandRejected, events)
    assert "stages, number 1" in refused.reason  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("epochs", "after", "said"),
    [
        (4, ["2 epochs", "1 epoch"], ""),
        (4, ["19 steps"], ""),
        (4, ["20 steps"], "Stage 1 (20 steps) never begins: the run is over after epoch 4."),
        (
            3,
            ["2 epochs", "stalled 1", "1 step"],
            "Stage 2 (stalled 1) never begins, nor does the one",
        ),
        (3, ["3 epochs"], "Stage 1 (3 epochs) never begins: the run is over after epoch 3."),
        (4, ["stalled 2"], ""),
    ],
)
def test_a_stage_that_never_begins_is_said_as_the_run_starts(
    tmp_path: Path, epochs: int, after: list[str], said: str
) -> None:
    told: list[e.Event] = []
    stages = [Stage(when, [Rule("body")]) for when in after]
    session(tmp_path, asked(*stages, epochs=epochs), tell=told.append)
    warnings = [x.message for x in of(e.Warned, told)]  # type: ignore[attr-defined]
    assert bool(warnings) == bool(said)
    assert all(said in warning for warning in warnings)


def test_a_stage_that_is_sent_too_late_is_said(tmp_path: Path) -> None:
    late = c.SetStages([Stage("2 epochs", [Rule("body")])])
    events = run(session(tmp_path, asked(epochs=3)), [(7, late)])
    (warned,) = of(e.Warned, events)
    assert "Stage 1 (2 epochs) never begins" in warned.message  # type: ignore[attr-defined]
