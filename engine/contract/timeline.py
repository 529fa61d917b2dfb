"""A run as it was at an earlier step: what its journal says of the steps that count."""

from collections.abc import Iterable

from msgspec.structs import replace

from engine.contract import events as e
from engine.contract.config import Config
from engine.contract.state import RunState


def until(events: Iterable[e.Event], step: int) -> RunState:
    """The fold up to `step`, what came right after it left out; without the curves of the steps.

    What a resume or a rewind gave up is left out.
    """
    kept: list[tuple[int, e.Event]] = []
    for event in events:
        match event:
            case e.StepsTrained():
                continue
            case e.RunResumed(from_step=back_to) | e.Rewound(step=back_to):
                kept = [item for item in kept if item[0] <= back_to]
                kept.append((back_to, event))
            case _:
                kept.append((getattr(event, "step", 0), event))
    state = RunState()
    state.apply_all(event for at, event in kept if at <= step)
    return state


def epoch_at(state: RunState) -> int:
    """The epoch under way, or about to begin behind the evaluation that ended the last one."""
    ended = [x.epoch for x in state.evaluations if x.reason == "epoch"]
    return max(state.epoch, ended[-1] + 1 if ended else 1)


def epochs_begun(state: RunState, step: int) -> int:
    """How many epochs the first `step` steps are of."""
    at_its_end = (x.epoch for x in state.evaluations if x.reason == "epoch" and x.step == step)
    return next(at_its_end, epoch_at(state))


def config_in_force(state: RunState) -> Config | None:
    """The config that asks for what is in force, live changes of rate, plan and settings included;
    None of a run that had not begun to train."""
    if state.config is None or state.base_lr is None:
        return None
    return replace(
        state.config,
        optimizer=replace(state.config.optimizer, lr=state.base_lr),
        trainable=list(state.rules),
        stages=list(state.stages),
    )
