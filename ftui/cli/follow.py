"""A run watched without the app: a progress line, then a summary."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.contract import events as e
from engine.contract.errors import UserError
from engine.contract.state import RunState
from engine.contract.tasks import TaskWords
from engine.contract.text import plain
from engine.runs.client import Run
from engine.runs.store import Status
from ftui.cli import INTERRUPTED
from ftui.cli.options import CommandError, called
from ftui.format import (
    cached,
    compiled,
    count,
    delivered,
    duration,
    filling,
    main_figure,
    measured,
    number,
    speed,
)

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_SECONDS_BETWEEN_LINES = 5.0
"""Where no line can be redrawn (a pipe, a log), progress is told this often at most."""


async def until_training(run: Run) -> None:
    """Wait until the worker that was launched trains; tell what it prepares.

    Raises `UserError` where it fails in a way the user can mend, `CommandError` otherwise.
    Ctrl+C ends the worker too, since nothing has been trained yet.
    """
    with _signals_go_to(run) as interrupt:
        async for event in run.events():
            if not run.begun:
                continue  # an earlier worker's words
            interrupt.pass_on()
            if isinstance(event, e.PreparationAdvanced):
                click.echo(f"{plain(event.stage)} ...", err=True)
            if isinstance(event, e.Warned):
                click.echo(f"warning: {plain(event.message)}", err=True)
            if isinstance(event, e.TrainingStarted):
                return
    _raise_end(run)


async def until_end(run: Run, own: bool = True) -> None:
    """Show progress until the run has ended; raises as `until_training` does, and for a stop.

    Ctrl+C stops a run of our `own`; of another's it only ends the watching.
    """
    trained = False
    with _signals_go_to(run) if own else nullcontext() as interrupt, _shown(run) as show:
        async for event in run.events():
            if not run.begun:
                continue  # an earlier worker's words
            if interrupt:
                interrupt.pass_on()
            trained = trained or isinstance(event, e.TrainingStarted)
            show(event)
    if trained:
        summarise(run.folder, run.state, run.status)
    if run.state.phase != "finished":
        _raise_end(run)


def summarise(folder: Path, state: RunState, status: Status) -> None:
    """The closing lines; the last one names the run's folder."""
    for line in summary(folder, state, status):
        click.echo(line)


def summary(folder: Path, state: RunState, status: Status) -> Iterator[str]:
    """What came of a run, against what guessing would have given."""
    seconds = (state.updated or 0) - (state.started or 0)
    ended = f"stopped early by {state.early_stopped.metric}" if state.early_stopped else status
    yield (
        f"{ended} after {count(state.epoch, 'epoch')}, {count(state.step, 'step')}, "
        f"{duration(seconds)}"
    )
    yield from _figures(state)
    if state.data and (baseline := state.data.baseline):
        known = state.task.figures[baseline.figure]
        yield f"baseline {measured(known, baseline.value)} ({plain(baseline.how)})"
    if state.model:
        total = state.model.total_parameters
        yield f"trained {state.trainable:,} of {total:,} parameters"
    if state.skipped_count:
        first = state.skipped[0]
        yield (
            f"skipped {count(state.skipped_count, 'file')}, the first: {plain(first.path)} "
            f"({plain(first.reason)})"
        )
    for warning in state.warnings:
        yield f"warning: {plain(warning)}"
    yield f"look at it again: {called()} attach {plain(short(folder))}"
    yield str(folder)


def _figures(state: RunState) -> Iterator[str]:
    """Those of the finished model; of a run that has not finished, the best so far."""
    if saved := state.saved_model:
        said = delivered(state)
        of_it = f": {said}" if said else ""
        yield f"{plain(saved.path)} has the weights: {plain(saved.weights)}{of_it}"
        if state.phase == "finished":
            return
    main = state.task.figures[state.task.main]
    for of_what, evaluations in (("", state.evaluations), ("average's ", state.averaged)):
        if best := best_of(state.task, evaluations):
            yield (
                f"{of_what}validation {main.label} {measured(main, best.value(state.task.main))} "
                f"(best so far, epoch {best.epoch}), loss {number(best.loss)}"
            )


def short(folder: Path) -> str:
    """What `ftui attach` takes for this run: its name, where runs live there by default."""
    return folder.name if folder.parent == Path("runs").absolute() else str(folder)


def _raise_end(run: Run) -> None:
    state = run.state
    log = plain(run.folder / "worker.log")
    if run.crashed:
        when = f"at step {state.step}" if run.begun else "before its first word"
        why = f" ({run.last_words.rstrip('.')})" if run.last_words else ""
        raise CommandError(
            1,
            f"the worker died {when}{why}; ftui resume {plain(run.folder.name)} goes on, "
            f"{log} may say why.",
        )
    if state.phase == "stopped":
        raise CommandError(
            INTERRUPTED, f"stopped by {plain(state.stopped_by)} at step {state.step}."
        )
    if state.phase == "failed" and state.error_by_user:
        raise UserError(plain(state.error))
    raise CommandError(1, f"the run failed: {plain(state.error)} See {log}.")


class _Interrupt:
    """The wish that the launched worker saves and ends, kept until that worker can be reached."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._wished = False

    def __call__(self) -> None:
        self._wished = True
        self.pass_on()

    def pass_on(self) -> None:
        """Signal the worker if that is wished, once it has said which process it is."""
        state = self._run.state
        if not (self._wished and self._run.begun and state.pid):
            return
        self._wished = False
        if state.host == socket.gethostname():  # elsewhere the number is another process's
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(state.pid, signal.SIGTERM)


@contextmanager
def _signals_go_to(run: Run) -> Iterator[_Interrupt]:
    """Ctrl+C and SIGTERM ask the worker to save and end; we go on watching until it has."""
    loop = asyncio.get_running_loop()
    interrupt = _Interrupt(run)
    for number_ in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number_, interrupt)
    try:
        yield interrupt
    finally:
        for number_ in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number_)


class _Lines:
    """Progress as lines that stay: for pipes and logs."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._told = 0.0

    def __call__(self, event: e.Event) -> None:
        match event:
            case e.PreparationAdvanced():
                click.echo(f"{plain(event.stage)} ...")
            case e.FileSkipped():
                click.echo(f"skipped {plain(event.path)}: {plain(event.reason)}")
            case e.Warned():
                click.echo(f"warning: {plain(event.message)}")
            case e.ModelLoaded():
                click.echo(f"weights {plain(event.weights)}")
            case e.PrefixCached() | e.SpeedMeasured() | e.ModelCompiled():
                click.echo(_found(event))
            case e.PrefixAdvanced() if time.monotonic() - self._told > _SECONDS_BETWEEN_LINES:
                self._told = time.monotonic()
                click.echo(filling(event))
            case e.Evaluated(weights="raw"):
                self._tell()
            case e.TextGenerated():
                click.echo(said_line(event))
            case e.StepsTrained() if time.monotonic() - self._told > _SECONDS_BETWEEN_LINES:
                self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        click.echo(progress_line(self._run.state))
        sys.stdout.flush()


class _Bar:
    """Progress as one line that is redrawn: for terminals."""

    def __init__(self, run: Run, progress: "Progress") -> None:
        self._run = run
        self._progress = progress
        self._task: TaskID = progress.add_task("starting", total=None)

    def __call__(self, event: e.Event) -> None:
        state = self._run.state
        match event:
            case e.PreparationAdvanced():
                self._progress.update(self._task, description=plain(event.stage))
            case e.ModelLoaded():
                words = f"weights {plain(event.weights)}"
                self._progress.console.print(words, markup=False, highlight=False)
            case e.PrefixCached() | e.SpeedMeasured() | e.ModelCompiled():
                self._progress.console.print(_found(event), markup=False, highlight=False)
            case e.PrefixAdvanced():
                self._progress.update(self._task, description=filling(event))
            case e.FileSkipped() | e.Warned():
                text = event.reason if isinstance(event, e.FileSkipped) else event.message
                name = f"{event.path}: " if isinstance(event, e.FileSkipped) else "warning: "
                self._progress.console.print(plain(name + text), markup=False, highlight=False)
            case e.Evaluated(weights="raw"):
                line = progress_line(state)
                self._progress.console.print(line, markup=False, highlight=False)
            case e.TextGenerated():
                self._progress.console.print(said_line(event), markup=False, highlight=False)
            case _ if state.total_steps:
                self._progress.update(
                    self._task,
                    total=state.total_steps,
                    completed=state.step,
                    description=progress_line(state),
                )


def _found(event: e.PrefixCached | e.SpeedMeasured | e.ModelCompiled) -> str:
    """What makes a run faster, or does not."""
    match event:
        case e.PrefixCached():
            return cached(event)
        case e.SpeedMeasured():
            return speed(event)
        case e.ModelCompiled():
            return compiled(event)


@contextmanager
def _shown(run: Run) -> Iterator[_Lines | _Bar]:
    from rich.console import Console  # the app and short commands don't wait for these
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console()
    if not console.is_terminal:
        yield _Lines(run)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(20))
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(run, progress)


def said_line(event: e.TextGenerated) -> str:
    """What a language model said, on one line."""
    return f"text: {plain(event.prompt)} | {plain(event.text)}"


def best_of(task: TaskWords, evaluations: Sequence[e.Evaluated]) -> e.Evaluated | None:
    """The one whose main figure is the best; None where there is none."""
    sign = -1 if task.figures[task.main].falls else 1
    known = [x for x in evaluations if task.main in x.figures]
    return max(known, key=lambda x: sign * x.figures[task.main], default=None)


def progress_line(state: RunState) -> str:
    """Where a run stands, on one line."""
    parts = [f"epoch {state.epoch}/{state.epochs}", f"step {state.step}/{state.total_steps}"]
    if len(state.loss):
        parts.append(f"loss {number(float(state.loss.values[-1]))}")
    if state.evaluations:
        last = state.evaluations[-1]
        parts += [f"val_loss {number(last.loss)}", main_figure(state.task, last)]
    if state.samples_per_second:
        parts.append(f"{state.samples_per_second:.0f} {state.task.unit}")
    return "  ".join(parts)
