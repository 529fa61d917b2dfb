"""The schedule of plans: stages, whose rules join the plan in force as they begin.

The rule by which it lives together with edits: a stage adds its rules to whatever plan is in force
at that moment, and the last rule that matches wins. So what was edited live stays as it is until a
stage says something else of it, and an edit after a stage wins over that. Stages that are sent
while the run trains count from where they are obeyed, as if the run began there.
"""

from collections.abc import Iterator, Sequence

from engine.contract import events as e
from engine.contract import plan
from engine.contract.errors import UserError
from engine.contract.rules import Rule, Stage
from engine.contract.tree import ModelInfo
from engine.progress import Progress
from engine.session import Session


def is_due(p: Progress) -> bool:
    """Whether it is time for the next stage."""
    return bool(p.stages) and _due(p.stages[0], p)


def begin_next(session: Session) -> Iterator[e.Event]:
    """Begin the next stage; one whose plan would train nothing is passed over."""
    p = session.progress
    yield from session.pending.flush()
    stage, p.stages = p.stages[0], p.stages[1:]
    p.stages_begun += 1
    p.count_stages_from(p.step, p.epoch)
    try:
        session.set_plan(plan.with_rules(p.rules, stage.trainable))
    except UserError as error:
        yield e.Warned(message=f"Stage {p.stages_begun} is passed over: {error}")
    else:
        yield session.plan_changed(change=f"stage {p.stages_begun}")
        for warning in session.left_out():
            yield e.Warned(message=warning)


def check(rules: Sequence[Rule], stages: Sequence[Stage], model: ModelInfo) -> None:
    """Raises `UserError` where a stage has a rule that matches nothing."""
    for number, stage in enumerate(stages, start=1):
        try:
            plan.resolve([*rules, *stage.trainable], model)
        except UserError as error:
            raise UserError(f"stages, number {number}: {error}") from None


def never_begin(session: Session) -> list[str]:
    """Says which of the stages to come begin only after the run is over; empty where none does."""
    p, config, each = session.progress, session.config, session.steps_per_epoch
    step, epoch, total = p.stage_step, p.stage_epoch, config.training.epochs * each - p.ahead
    for number, stage in enumerate(p.stages, start=1):
        match stage.after.split():
            case ["stalled", count]:
                epoch += int(count) + 1  # the first evaluation of a stage is the best one yet
                step = (epoch - 1) * each - p.ahead
            case [count, "step" | "steps"]:
                step += int(count)
                epoch = (step + p.ahead) // each + 1
            case [count, *_]:
                epoch += int(count)
                step = (epoch - 1) * each - p.ahead
        if step >= total:
            rest = len(p.stages) - number
            others = "does the one" if rest == 1 else f"do the {rest}"
            more = f", nor {others} after it" if rest else ""
            return [
                f"Stage {p.stages_begun + number} ({stage.after}) never begins{more}: the run is "
                f"over after epoch {config.training.epochs}."
            ]
    return []


def _due(stage: Stage, p: Progress) -> bool:
    match stage.after.split():
        case ["stalled", count]:
            return p.stage_stale >= int(count)
        case [count, "step" | "steps"]:
            return p.step - p.stage_step >= int(count)
        case [count, *_]:
            return p.batch == 0 and p.epoch - p.stage_epoch >= int(count)
    raise AssertionError(stage.after)
