"""The order of events, as one table: when each may come, and what it leads to.

The fold reads the phase of a run off this table, the tests assert it of every journal.
"""

from collections.abc import Iterable
from typing import Literal

from engine.contract import events as e

Phase = Literal["new", "preparing", "running", "paused", "stopped", "finished", "failed"]

LIVE: tuple[Phase, ...] = ("preparing", "running", "paused")
_ANY: tuple[Phase, ...] = (*LIVE, "stopped", "finished", "failed")
_LOOP: tuple[Phase, ...] = ("running", "paused")

ORDER: dict[type[e.Event], tuple[tuple[Phase, ...], Phase | None]] = {
    # event                 may come while            leads to (None: stays)
    e.RunStarted: (("new",), "preparing"),
    e.RunResumed: (("new", *_ANY), "preparing"),  # a crash can come at any point
    e.RunForked: (("preparing",), None),
    e.PreparationAdvanced: (("preparing",), None),
    e.ModelLoaded: (("preparing",), None),
    e.DataIndexed: (("preparing",), None),
    e.TextsTokenised: (("preparing",), None),
    e.FileSkipped: (LIVE, None),
    e.Warned: (LIVE, None),
    e.SpeedMeasured: (("preparing",), None),
    e.TrainingStarted: (("preparing",), "running"),
    e.PlanChanged: (_LOOP, None),
    e.EpochStarted: (("running",), None),
    e.StepsTrained: (("running",), None),  # those pending are told before a pause
    e.NonFiniteLoss: (("running",), None),
    e.Evaluated: (_LOOP, None),
    e.PredictionsSaved: (_LOOP, None),
    e.TextGenerated: (_LOOP, None),
    e.CheckpointSaved: (_LOOP, None),
    e.LearningRateChanged: (_LOOP, None),
    e.OptionChanged: (_LOOP, None),
    e.GradientsMeasured: (_LOOP, None),
    e.Rewound: (_LOOP, None),
    e.MicroBatchHalved: (_LOOP, None),
    e.PrefixAdvanced: (_LOOP, None),
    e.PrefixCached: (_LOOP, None),
    e.ModelCompiled: (LIVE, None),
    e.RunPaused: (("running",), "paused"),
    e.RunContinued: (("paused",), "running"),
    e.CommandApplied: (LIVE, None),
    e.CommandRejected: (LIVE, None),
    e.EarlyStopped: (("running",), None),
    e.InterpolationEvaluated: (("running",), None),
    e.ModelSaved: (("running",), None),
    e.ReplayCompared: (_LOOP, None),
    e.RunFinished: (("running",), "finished"),
    e.RunStopped: (LIVE, "stopped"),
    e.RunFailed: (LIVE, "failed"),
}


def next_phase(phase: Phase, event: e.Event) -> Phase:
    """The phase after `event`, whatever came before."""
    return ORDER[type(event)][1] or phase


def check_order(events: Iterable[e.Event]) -> None:
    """Raise `AssertionError` at the first event that may not come where it does."""
    phase: Phase = "new"
    for number, event in enumerate(events):
        allowed, _ = ORDER[type(event)]
        name = type(event).__name__
        assert phase in allowed, f"event {number}: {name} while {phase}, allowed in {allowed}"
        phase = next_phase(phase, event)
