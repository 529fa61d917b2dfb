"""The process that trains a run: `python -m engine.worker RUN_FOLDER`.

It holds the run's lock, keeps the journal, listens for commands and signals, and drives the loop.
torch comes in only after the first event is written, so that a watcher sees life at once.
"""

import faulthandler
import importlib.metadata
import os
import platform
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from engine import checkpoint, past, script
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract import toml
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.text import plain
from engine.imports import uncollected
from engine.oom import is_out_of_memory
from engine.past import Past
from engine.runs import lock, store
from engine.runs.journal import Inbox, Journal

if TYPE_CHECKING:
    from engine.session import Session

_SECONDS_BETWEEN_LOOKS = 0.1
_SECONDS_BETWEEN_LOOKS_PAUSED = 0.02
_SECONDS_BETWEEN_TRIES = 1.0
"""To write what a full disk has not taken."""
_SMALLER_BATCH = (
    "There was not enough memory to train; set data.batch_size lower than {} (training.accumulate "
    "makes up for it) or freeze more of the model."
)
_PARTICIPLES = {e.RunFinished: "finished", e.RunStopped: "stopped", e.RunFailed: "failed"}
_SYNCED = (e.CheckpointSaved, e.RunFinished, e.RunStopped, e.RunFailed)


class _Stopped(BaseException):
    """The run is to end while it is prepared; no `except Exception` may take it for an error."""


class Worker:
    """One life of a run, with its journal and its inbox."""

    def __init__(self, folder: Path, lock_fd: int, before: Past) -> None:
        self.folder = folder
        self.lock_fd = lock_fd
        self.script = script.load(folder)
        self.before = before
        self.journal = Journal(folder)
        self.inbox = Inbox(folder, before.answered)
        self.session: Session | None = None
        self.waiting: list[c.AnyCommand] = []
        """Commands that have come and are not obeyed yet."""
        self.stopping = ""
        """Who wants a run to end that is still being prepared."""
        self._may_raise = False
        """Whether a signal may take the main thread out of what it does: while preparing."""
        self._resumed_from = 0
        self._stops = 0
        """How often somebody wanted the run to end."""

    def run(self, config: Config) -> int:
        """Prepare, train, and end with the event that says how; the exit code."""
        try:
            saved = self._begin(config)
            session = self._prepare(self._config_after(_configs(saved), config), saved)
            while self._train(session):
                saved, _ = checkpoint.newest(self.folder)
                self.before = past.read(self.folder)
                asked = self._config_after(_configs(saved) + 1, config)
                self._resume(asked, _step(saved))
                session = self._prepare(asked, saved, session.handover)
        except _Stopped:
            self._end(e.RunStopped(step=self._last_step, by=self.stopping))
        except UserError as error:
            return self._fail(str(error), by_user=True)
        except Exception as error:
            traceback.print_exc()
            if is_out_of_memory(error):
                return self._fail(_SMALLER_BATCH.format(config.data.batch_size), by_user=True)
            return self._fail(f"{type(error).__name__}: {plain(error)}", by_user=False)
        return 0

    def tell(self, event: e.Event) -> None:
        """Write an event to the journal; what must not be lost is on the disk when this returns."""
        with self._undisturbed():  # a line is written once, and whole
            self.journal.append(event)
            if isinstance(event, _SYNCED):
                self.journal.sync()

    def stop(self, by: str) -> None:
        """End at the next step boundary, or at once where there is none yet."""
        self.stopping = by
        self._stops += 1
        if self.session:
            self.session.stopping = by
        elif self._may_raise:
            raise _Stopped

    def look(self) -> None:
        """Take in commands while preparing; only a stop does not wait for training to begin.

        Where what must not be disturbed is under way, which may be another look, the next one does.
        """
        if not self._may_raise:
            return
        with self._undisturbed():  # what is drained is drained once, and kept
            self.waiting += self.inbox.drain(now=True)
        if any(isinstance(command, c.Stop) for command in self.waiting):
            self.stop("command")

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """A signal that comes meanwhile takes the main thread out of what it does only then."""
        may_raise, self._may_raise = self._may_raise, False
        try:
            yield
        finally:
            self._may_raise = may_raise
        if may_raise and self.stopping:
            raise _Stopped

    def _begin(self, config: Config) -> checkpoint.Checkpoint | None:
        """Say that this worker has taken the run; the checkpoint that it goes on from, if any.

        Those of a run whose journal is gone count, too.
        """
        try:
            saved, warnings = checkpoint.newest(self.folder)
        except Exception:  # the failure must count as this life's; it redoes nothing
            self._resume(config, store.state_of(self.folder)[0].step)
            raise
        config = self._config_after(_configs(saved), config)
        if self.before.phase == "new" and not saved:
            pid, host = os.getpid(), socket.gethostname()
            self.tell(e.RunStarted(pid=pid, host=host, versions=_versions(), config=config))
        else:
            self._resume(config, _step(saved))
        if self.script:
            self.tell(e.RunForked(parent=self.script.parent, step=self.script.step))
        for warning in warnings:
            self.tell(e.Warned(message=warning))
        return saved

    def _config_after(self, changes: int, config: Config) -> Config:
        """`config`, or the one that the run that this one repeats had after so many changes."""
        return (self.script and self.script.config_after(changes)) or config

    def _resume(self, config: Config, from_step: int) -> None:
        """Say that the run goes on, and turn down what was sent to the worker before."""
        self._resumed_from = from_step
        pid, host, versions = os.getpid(), socket.gethostname(), _versions()
        self.tell(
            e.RunResumed(from_step=from_step, pid=pid, host=host, versions=versions, config=config)
        )
        launched = os.fstat(self.lock_fd).st_mtime
        for command in self.inbox.drain(now=True):
            if command.time < launched:
                self._reject(command, "It was sent before the run's last worker died.")
            else:
                self.waiting.append(command)

    def _prepare(
        self,
        config: Config,
        saved: checkpoint.Checkpoint | None,
        taken: script.Line | None = None,
    ) -> "Session":
        self._may_raise = True
        with _every(_SECONDS_BETWEEN_LOOKS, self.look):
            self.tell(e.PreparationAdvanced(stage="importing torch"))
            with uncollected():
                from engine.prepare import prepare

            if self.script and self.before.threads is None:
                self.before.threads, self.before.speed = self.script.threads, self.script.speed
            session = prepare(
                config,
                self.folder,
                self.before,
                saved,
                self.tell,
                close_fds=[self.lock_fd],
                script=self.script,
                taken=taken,
            )
        self.session, self._may_raise = session, False
        if self.stopping != "command":  # that one is still waiting, and answered in its turn
            session.stopping = self.stopping
        return session

    def _train(self, session: "Session") -> bool:
        """Returns whether the run goes on in another session, with another config."""
        from engine.loop import train

        for event in train(session):
            self.take_in(session, event)
            if event is None and session.stopping:
                self._save_and_end(session)
                break
        session.train_data.close()
        session.val_data.close()
        self.session = None
        return session.handover is not None

    def take_in(self, session: "Session", event: e.Event | None) -> None:
        """What comes of the loop: an event to tell, or a step boundary to obey commands at."""
        if event is None:
            self._listen(session)
        elif isinstance(event, e.RunFinished):
            self._compare(session)
            self._end(event)
        else:
            self.tell(event)

    def _listen(self, session: "Session") -> None:
        """Obey what has come, and wait while the run is paused."""
        self.obey(session)
        while session.paused and not session.stopping:
            time.sleep(_SECONDS_BETWEEN_LOOKS_PAUSED)
            self.obey(session)

    def obey(self, session: "Session") -> None:
        """Obey what has come."""
        from engine.obey import obey

        self.waiting += self.inbox.drain()
        while self.waiting and not session.stopping:
            for event in obey(session, self.waiting[0]):
                self.tell(event)
            del self.waiting[0]  # not before it is answered: an error leaves that to `_end`

    def _save_and_end(self, session: "Session") -> None:
        from engine.saving import save, settle

        if session.stopping != "command":  # that one has saved
            told = [*settle(session), *save(session, "stop")]
            for event in told:
                self.tell(event)
            if not any(isinstance(event, e.CheckpointSaved) for event in told):
                raise UserError(f"Ended by {session.stopping}, and what is new could not be saved.")
        self._compare(session)
        self._end(e.RunStopped(step=session.progress.step, by=session.stopping))

    def _compare(self, session: "Session") -> None:
        """Say whether a replay came to the weights of the other run."""
        if self.script and self.script.replay and session.progress.step == self.script.step:
            from engine.compare import compare

            newest, _ = checkpoint.newest(self.folder)
            assert newest
            theirs = self.folder / script.COMPARED_WITH
            self.tell(compare(newest.path, theirs, session.progress.step))

    def _fail(self, error: str, by_user: bool) -> int:
        if self.session:
            with suppress(Exception):  # after a failure the device may not give its figures
                for event in self.session.pending.flush():
                    self.tell(event)
        self._end(e.RunFailed(step=self._last_step, error=error, by_user=by_user))
        return 1

    def _end(self, event: e.RunFinished | e.RunStopped | e.RunFailed) -> None:
        """Answer whatever is unanswered, then say how the run ended."""
        self._may_raise = False
        for command in [*self.waiting, *self.inbox.drain(now=True)]:
            if isinstance(command, c.Stop) and isinstance(event, e.RunStopped):
                self.tell(e.CommandApplied(step=self._last_step, command=command))
            else:
                self._reject(command, f"The run has {_PARTICIPLES[type(event)]}.")
        self.tell(event)
        stops = self._stops
        while self.journal.unwritten and stops == self._stops:  # a signal gives up the last words
            time.sleep(_SECONDS_BETWEEN_TRIES)
            self.journal.sync()

    def _reject(self, command: c.AnyCommand, reason: str) -> None:
        self.tell(e.CommandRejected(step=self._last_step, command=command, reason=reason))

    @property
    def _last_step(self) -> int:
        return self.session.progress.step if self.session else self._resumed_from


def _step(saved: checkpoint.Checkpoint | None) -> int:
    return saved.manifest.progress.step if saved else 0


def _configs(saved: checkpoint.Checkpoint | None) -> int:
    return saved.manifest.progress.configs if saved else 0


@contextmanager
def _every(seconds: float, call: Callable[[], None]) -> Iterator[None]:
    """Call something now and then in the main thread, whatever it is busy with."""
    signal.signal(signal.SIGALRM, lambda _number, _frame: call())
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _versions() -> dict[str, str]:
    """Package to version, read without importing any."""
    packages = {"ftui": "finetune-tui", "torch": "torch", "torchvision": "torchvision"}
    versions = {name: importlib.metadata.version(package) for name, package in packages.items()}
    return versions | {"python": platform.python_version()}


def main(folder: Path) -> int:
    """Be the worker of the run in `folder`; the exit code."""
    os.umask(0o077)
    faulthandler.enable()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal may close
    try:
        lock_fd = lock.inherit(folder)
        config = toml.load(folder / store.CONFIG)
        worker = Worker(folder, lock_fd, past.read(folder))
    except (UserError, OSError) as error:  # without a config or a journal, the log has to do
        print(error, file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: worker.stop(signal.Signals(number).name))
    return worker.run(config)


if __name__ == "__main__":
    code = main(Path(sys.argv[-1]).absolute())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # an orderly exit after torch takes a second more
