"""The fold: everything a screen shows, from the events alone."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.rules import Rule
from engine.contract.state import Marker, RunState
from tests.engine.contract.journals import (
    CONFIG,
    MODEL,
    evaluated,
    loop,
    resumed,
    saved,
    started,
    steps,
    worker,
)


def fold(events: Iterable[e.Event]) -> RunState:
    state = RunState()
    for event in events:
        state.apply(event)
    return state


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 4))), st.integers(0, 12))
def test_many_events_at_once_are_as_one_after_another(
    told: list[tuple[int, int]], resumed_at: int
) -> None:
    """Also where steps are told twice, or some never."""
    half = len(told) // 2
    events = [
        *started(),
        *(steps(first, first + more - 1) for first, more in told[:half]),
        *resumed(resumed_at),
        *(steps(first, first + more - 1) for first, more in told[half:]),
    ]
    one, all_ = fold(events), RunState()
    all_.apply_all(events)
    assert all_.step == one.step
    assert all_.updated == one.updated
    assert all_.samples_per_second == one.samples_per_second
    for name in ("loss", "lr", "throughput"):
        np.testing.assert_array_equal(getattr(all_, name).values, getattr(one, name).values)


def test_before_the_first_event() -> None:
    state = RunState()
    assert (state.phase, state.live, state.total_steps, state.best) == ("new", False, 0, {})


def test_preparation_is_told() -> None:
    state = fold(started()[:2])
    assert (state.phase, state.stage, state.pid, state.config) == (
        "preparing",
        "reading pictures",
        1,
        CONFIG,
    )


def test_the_longest_text_is_told() -> None:
    assert fold(started()[:2]).longest is None
    assert fold([*started()[:2], e.TextsTokenised(longest=15)]).longest == 15


def test_training_is_told() -> None:
    state = fold([*started(), *loop()[:6]])
    assert state.live
    assert (state.step, state.epoch, state.epochs, state.total_steps) == (4, 1, 3, 12)
    assert (state.model, state.weights, state.trainable) == (MODEL, "DEFAULT", 5)
    assert (state.base_lr, state.device, state.precision, state.threads) == (0.1, "cpu", "fp32", 2)
    assert list(state.loss.values) == [1, 1 / 2, 1 / 3, 1 / 4]
    assert list(state.lr.steps) == [1, 2, 3, 4]
    assert state.samples_per_second == 4
    assert state.markers == []  # the plan that training starts with is no change


def test_the_end_is_told() -> None:
    state = fold([*started(), *loop()])
    assert (state.phase, state.live, state.step) == ("finished", False, 12)
    assert [x.step for x in state.checkpoints] == [4, 8, 12]


def test_the_model_that_is_kept_is_judged_by_one_metric() -> None:
    def told(step: int, loss: float | None, top1: float, reason="epoch") -> e.Evaluated:
        return e.Evaluated(step, step, reason, loss, {"top1": top1}, 9, 1.0)

    seen = [told(1, 0.5, 0.7), told(2, 0.4, 0.6), told(3, None, 0.9), told(4, 0.1, 1.0, "command")]
    best, other = replace(saved(2), best=True), saved(3)
    state = fold([*started(), *seen[:2], best, seen[2], other, seen[3]])
    assert state.kept == seen[1]
    assert (state.best["val_loss"], state.best["val_top1"]) == (0.1, 1.0)
    assert fold([*started(), *seen]).kept == seen[1]  # a fork, say: its parent's best is better
    assert fold(started()).kept is None


def test_a_model_that_is_better_by_too_little_is_not_the_one_that_is_kept() -> None:
    better = replace(saved(4), best=True)
    told = [*started(), evaluated(4, 0.5), better, evaluated(8, 0.501), saved(8)]
    state = fold(told)
    assert state.kept
    assert state.kept.step == 4
    state.apply(e.Rewound(3, 1, 8, 3, 0.1, {}, "asked", by_guard=False))
    assert state.kept is None


def test_best_is_of_each_metric() -> None:
    state = fold([*started(), evaluated(1, 0.5), evaluated(2, 0.7), evaluated(3, 0.6)])
    assert state.best == {"val_loss": pytest.approx(0.3), "val_top1": 0.7}
    gap = e.Evaluated(
        step=4,
        epoch=1,
        reason="command",
        loss=None,
        figures={"top1": 0.1, "top5": 0.9},
        samples=1,
        seconds=1,
    )
    assert fold([gap]).best == {"val_top1": 0.1, "val_top5": 0.9}


def test_changes_are_marked() -> None:
    rules = [Rule("*")]
    state = fold(
        [
            *started(),
            steps(1, 3),
            e.LearningRateChanged(step=3, lr=0.001),
            e.PlanChanged(step=3, rules=rules, trainable=9, change="thaw *"),
        ]
    )
    assert state.markers == [Marker(3, "lr 0.001"), Marker(3, "thaw *")]
    assert (state.base_lr, state.rules, state.trainable) == (0.001, rules, 9)


def test_pauses_are_marked() -> None:
    state = fold([*started(), steps(1, 2), e.RunPaused(step=2), e.RunContinued(step=2)])
    assert state.markers == [Marker(2, "pause"), Marker(2, "resume")]


def test_rollbacks_of_the_guard_are_kept_and_rewinds_that_were_asked_for_are_not() -> None:
    def rewound(reason: str, by_guard: bool) -> e.Rewound:
        return e.Rewound(
            step=4,
            epoch=2,
            from_step=6,
            from_epoch=2,
            lr=0.05,
            options={},
            reason=reason,
            by_guard=by_guard,
        )

    spike = rewound("the loss became nan at step 6", True)
    state = fold([*started(), *loop()[:8], rewound("rewind 4", False), steps(5, 6), spike])
    assert state.rollbacks == [spike]
    assert (state.step, state.base_lr) == (4, 0.05)
    assert state.markers == [
        Marker(4, "rewound: rewind 4"),
        Marker(4, "rewound: the loss became nan at step 6"),
    ]


def test_a_rewind_to_before_an_option_was_changed_takes_it_back() -> None:
    longer = e.OptionChanged(step=4, key="training.epochs", value="9")
    back = e.Rewound(
        step=2,
        epoch=1,
        from_step=4,
        from_epoch=2,
        lr=0.1,
        options={},
        reason="rewind 2",
        by_guard=False,
    )
    begun = fold(started())
    changed = fold([*started(), steps(1, 4), longer])
    state = fold([*started(), steps(1, 4), longer, back])
    assert begun.config
    assert changed.epochs == 9
    assert state.config == begun.config
    assert state.epochs == begun.config.training.epochs


def test_answers_are_found_by_command() -> None:
    applied, rejected, open_ = c.Pause(), c.Freeze("x"), c.Stop()
    state = fold(
        [
            *started(),
            e.CommandApplied(step=0, command=applied),
            e.CommandRejected(step=0, command=rejected, reason="no"),
        ]
    )
    assert state.unanswered([applied, rejected, open_]) == [open_]
    assert isinstance(state.answers[rejected.id], e.CommandRejected)


def test_skipped_files_are_counted_and_the_first_named() -> None:
    state = fold(e.FileSkipped(path=f"{n}.jpg", reason="broken") for n in range(250))
    assert state.skipped_count == 250
    assert [x.path for x in state.skipped] == [f"{n}.jpg" for n in range(100)]


def test_a_loss_that_is_not_finite_is_a_gap_and_a_warning() -> None:
    gap = e.StepsTrained(first_step=1, loss=[1.0, None], lr=[0.1, 0.1], samples_per_second=1)
    state = fold([*started(), gap, e.NonFiniteLoss(step=2, value="nan")])
    assert list(np.isnan(state.loss.values)) == [False, True]
    assert state.warnings == ["The loss became nan at step 2."]


def test_ends_are_told_apart() -> None:
    stopped = fold([*started(), e.RunStopped(step=0, by="SIGTERM")])
    assert (stopped.phase, stopped.stopped_by) == ("stopped", "SIGTERM")
    failed = fold([*started(), e.RunFailed(step=0, error="no memory", by_user=False)])
    assert (failed.phase, failed.error, failed.error_by_user) == ("failed", "no memory", False)


def test_a_new_worker_clears_what_ended_the_old_one() -> None:
    failed = e.RunFailed(step=0, error="no memory", by_user=True)
    early = e.EarlyStopped(step=0, metric="val_loss", best=1.0, patience=3)
    state = fold([*started(), early, failed, *resumed(0)])
    assert (state.error, state.error_by_user, state.early_stopped) == ("", False, None)
    assert (state.pid, state.started, state.phase) == (2, 100.0, "running")
    assert fold([*started(), e.RunStopped(step=0, by="command"), *resumed(0)]).stopped_by == ""


def test_redone_steps_are_dropped() -> None:
    change = e.LearningRateChanged(step=6, lr=0.5)
    told = [*started(), *loop()[:10], evaluated(6), saved(6), change]
    state = fold([*told, e.RunResumed(from_step=4, **worker(2))])  # type: ignore[arg-type]
    assert state.step == 4
    for series in (state.loss, state.lr, state.throughput):
        assert len(series) == 4
    assert [x.step for x in state.evaluations] == [4]
    assert [x.step for x in state.checkpoints] == [4]
    assert state.markers == []


def test_what_is_done_again_at_the_very_step_of_a_checkpoint_is_there_once() -> None:
    """And there it was done after the checkpoint, which thus knows nothing of it."""
    changes = [e.LearningRateChanged(step=6, lr=lr) for lr in (0.5, 0.1, 0.5)]
    freeze = e.PlanChanged(step=6, rules=[Rule("*")], trainable=9, change="freeze x")
    asked = replace(evaluated(6, 0.4), reason="command")
    tail = [asked, *changes, evaluated(6), freeze]
    state = fold([*started(), *loop()[:10], saved(6), *tail, *resumed(6), *tail])
    assert state.markers == [Marker(6, "lr 0.1"), Marker(6, "lr 0.5"), Marker(6, "freeze x")]
    assert [(x.step, x.reason) for x in state.evaluations] == [
        *((4, "epoch"), (6, "command"), (6, "epoch"))
    ]


def test_acknowledgements_survive_a_resume() -> None:
    """They are the cursor that keeps a new worker from obeying old commands again."""
    command = c.SetLearningRate(0.5)
    state = fold([*started(), e.CommandApplied(step=9, command=command), *resumed(0)])
    assert command.id in state.answers


@given(cuts=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3)), max_size=4))
def test_crashes_and_resumes_leave_no_trace_in_the_curves(cuts: list[tuple[int, int]]) -> None:
    """However often a worker dies and is resumed from an earlier checkpoint."""
    journal = [*started(), *loop()]
    for place, back in cuts:
        written = journal[: max(1, place % len(journal))]
        reached = fold(written)
        checkpoints = [0, *(x.step for x in reached.checkpoints)]
        step = checkpoints[-1 - min(back, len(checkpoints) - 1)]
        if step == 12:  # nothing is left to do
            continue
        journal = [*written, *resumed(step), *loop(step)]
    whole, pieced = fold([*started(), *loop()]), fold(journal)
    for name in ("loss", "lr", "throughput"):
        ours, other = getattr(whole, name), getattr(pieced, name)
        assert np.array_equal(ours.values, other.values)
    for name in ("phase", "step", "epoch", "best", "markers", "base_lr", "total_steps"):
        assert getattr(whole, name) == getattr(pieced, name)
    assert [x.step for x in pieced.evaluations] == [4, 8, 12]
    assert [x.step for x in pieced.checkpoints] == [4, 8, 12]


def test_predictions_are_forgotten_where_the_run_goes_back_behind_them() -> None:
    state = RunState()
    newest, best = (
        e.PredictionsSaved(step=step, epoch=epoch, path=path, samples=4)
        for step, epoch, path in ((8, 2, "newest"), (4, 1, "best"))
    )
    for event in [*started(), replace(best, path="newest"), best, newest]:
        state.apply(event)
    assert state.predictions == {"newest": newest, "best": best}
    for event in resumed(4):
        state.apply(event)
    assert state.predictions == {"best": best}
