"""Commands put into effect, at a step boundary."""

from collections import deque
from collections.abc import Iterator

from engine import gradients, rewind, script, snapshot, stages
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract import plan, toml
from engine.contract.errors import UserError
from engine.contract.rules import Rule
from engine.contract.text import did_you_mean, plain
from engine.contract.training_tables import HIGHEST_LR
from engine.evaluate import evaluate_all
from engine.past import Obeyed, overtaken
from engine.saving import settle
from engine.session import Session


def obey(session: Session, command: c.AnyCommand) -> Iterator[e.Event]:
    """Yield what the command does, then its acknowledgement or rejection.

    To pause a paused run or to resume a running one is fine and changes nothing.
    """
    yield from settle(session)
    obeyed = Obeyed(*session.progress.position, command)
    try:
        yield from _effects(session, command)
    except UserError as error:
        yield e.CommandRejected(step=obeyed.step, command=command, reason=str(error))
        return
    if isinstance(command, c.Steering):
        yield from _give_up_overtaken(session, obeyed)
    yield e.CommandApplied(
        step=obeyed.step, epoch=obeyed.epoch, stages_begun=obeyed.stages_begun, command=command
    )


def redo(session: Session) -> Iterator[e.Event]:
    """Repeat what is to be obeyed here once more: of another run, and what a crash has lost."""
    yield from _follow_script(session)
    yield from _redo_lost(session)


def _follow_script(session: Session) -> Iterator[e.Event]:
    """Raises `UserError` where the run can't go back to where it once went back to."""
    while session.script and session.script[0].key <= script.key_of(session.progress):
        if (yield from settle(session)):
            continue
        line = session.script.popleft()
        if line.command:
            yield from _once_more(session, line.command, line.key.step)
        elif line.config:
            yield snapshot.save(session, "fork")
            session.handover = line
            return
        else:
            session.progress.be_patient_anew(session.config.early_stopping)


def _redo_lost(session: Session) -> Iterator[e.Event]:
    """The steering commands of this step that a resumed run has lost."""
    while session.redo and session.redo[0].position <= session.progress.position:
        if (yield from settle(session)):
            return
        lost = session.redo.popleft()
        yield from _once_more(session, lost.command, lost.step)


def _once_more(session: Session, command: c.AnyCommand, step: int) -> Iterator[e.Event]:
    """Obey what was obeyed after `step`.

    A steering command that can't be any more is given up for good: the config may name another
    model, or something newer may have changed the plan that it was for.
    """
    try:
        yield from _effects(session, command)
    except UserError as error:
        if not isinstance(command, c.Steering):
            raise
        session.progress.steering.append(command.id)
        yield e.Warned(message=f"{_name(command, step)} could not be repeated: {error}")


def _give_up_overtaken(session: Session, newer: Obeyed) -> Iterator[e.Event]:
    """What is still to be repeated must not come back over a newer command."""
    void = overtaken(session.redo, newer)
    if void:
        session.redo = deque(item for item in session.redo if item not in void)
        names = ", ".join(_name(item.command, item.step) for item in void)
        yield e.Warned(message=f"Not repeated, since '{_plain(newer.command)}' is newer: {names}.")


def _name(command: c.AnyCommand, step: int) -> str:
    return f"'{_plain(command)}' of step {step}"


def _plain(command: c.AnyCommand) -> str:
    return plain(c.describe(command), 100)


def _effects(session: Session, command: c.AnyCommand) -> Iterator[e.Event]:
    """Raises `UserError`, with nothing changed, where the command can't be obeyed."""
    p = session.progress
    match command:
        case c.Pause():
            if not session.paused:
                session.paused = True
                yield e.RunPaused(step=p.step)
        case c.Resume():
            if session.paused:
                session.paused = False
                session.pending.restart_clock()
                yield e.RunContinued(step=p.step)
        case c.Rewind(step=step):
            yield from rewind.to_step(session, step, c.describe(command))
        case c.Stop():
            yield snapshot.save(session, "stop")
            session.stopping = "command"
        case c.Checkpoint():
            yield snapshot.save(session, "command")
        case c.Evaluate():
            evaluated = evaluate_all(session, "command")
            if evaluated is None:
                raise UserError("The run is being stopped.")
            yield from session.pending.flush()
            yield from evaluated
        case c.SetLearningRate(lr=lr):
            if not 0 < lr <= HIGHEST_LR:
                raise UserError(
                    f"A learning rate must be above 0 and at most {HIGHEST_LR:g}, not {lr:g}."
                )
            p.base_lr = lr
            p.steering.append(command.id)
            yield e.LearningRateChanged(step=p.step, lr=lr)
        case c.SetOption(key=key, value=value):
            _set_option(session, key, value)
            p.steering.append(command.id)
            yield e.OptionChanged(step=p.step, key=key, value=value)
        case c.SetStages(stages=to_come):
            stages.check(p.rules, to_come, session.info)
            p.stages = list(to_come)
            p.count_stages_from(p.step, p.epoch)
            p.steering.append(command.id)
            yield session.plan_changed(change=c.describe(command))
            for warning in stages.never_begin(session):
                yield e.Warned(message=warning)
        case c.Freeze() | c.Thaw() | c.SetPlan():
            session.set_plan(_new_rules(session, command))
            p.steering.append(command.id)
            yield session.plan_changed(change=c.describe(command))
            for warning in session.left_out():
                yield e.Warned(message=warning)
        case c.AutoRGN():
            yield from gradients.auto_rgn(session)
            p.steering.append(command.id)


def _set_option(session: Session, key: str, value: str) -> None:
    p = session.progress
    if key not in c.LIVE_OPTIONS:
        raise UserError(_not_live(key))
    options = {**p.options, key: value}
    epochs = toml.with_options(session.asked, options).training.epochs
    if key == "training.epochs" and epochs < p.epoch:
        raise UserError(f"training.epochs: epoch {p.epoch} is under way, so it can't be {value}.")
    session.set_options(options)


def _not_live(key: str) -> str:
    if key == "optimizer.lr":
        return "optimizer.lr: the learning rate has a command of its own, 'lr'."
    hint = did_you_mean(key, c.LIVE_OPTIONS) or f"; it can: {', '.join(c.LIVE_OPTIONS)}."
    return f'"{plain(key)}" can\'t be changed while a run trains{hint}'


def _new_rules(session: Session, command: c.Freeze | c.Thaw | c.SetPlan) -> list[Rule]:
    rules = session.progress.rules
    match command:
        case c.SetPlan(rules=whole):
            return plan.effective(whole, session.info)
        case c.Freeze(pattern=pattern):
            return plan.with_rule(rules, Rule(match=pattern, train=False))
        case c.Thaw(pattern=pattern, lr_scale=lr_scale):
            if not 0 <= lr_scale <= 1e6:
                raise UserError(f"lr_scale must be a number from 0 to 1,000,000, not {lr_scale:g}.")
            return plan.with_rule(rules, Rule(match=pattern, lr_scale=lr_scale))
