"""The worker, on tiny sessions and driven by hand: it hands over at each step boundary, and can be
killed at any of them or before any event."""

import os
from collections.abc import Callable, Generator
from pathlib import Path

import torch
from torch import nn

from engine import past
from engine.checkpoint import Checkpoint
from engine.contract import events as e
from engine.contract.config import Config
from engine.loop import train
from engine.script import Line
from engine.session import Session
from engine.worker import Worker, _configs
from tests.engine.sessions import TrainTensors, batches, pictures, session


class Killed(BaseException):
    """As by SIGKILL: nothing of the worker's own may catch it."""

    def __init__(self, event: e.Event) -> None:
        """`event` is what it was about to tell."""
        self.event = event


class Driven(Worker):
    """One life of a run, on the real files of its folder; data and model are the tests' own."""

    def __init__(
        self,
        build: Callable[[], nn.Module],
        pictures: int,
        folder: Path,
        launched: float = 0.0,
        heard: Callable[[e.Event], None] = lambda _: None,
    ) -> None:
        """It trains on so many `pictures`, and was `launched` at a time; `heard` is told of each
        event once it is in the journal."""
        lock_fd = os.open(folder / "run.lock", os.O_RDWR | os.O_CREAT)
        os.utime(lock_fd, (launched, launched))
        super().__init__(folder, lock_fd, past.read(folder))
        self._build, self._pictures, self._heard = build, pictures, heard
        self.dies_in: int | None = None
        """How many events it still tells before it is killed, if it is to be."""

    def tell(self, event: e.Event) -> None:
        if self.dies_in == 0:
            raise Killed(event)
        if self.dies_in:
            self.dies_in -= 1
        super().tell(event)
        self._heard(event)

    def life(self, config: Config) -> Generator[None, None, None]:
        """As `run`, but control is handed over before commands are obeyed, and errors are raised.

        A paused run hands it over until it is resumed.
        """
        saved = self._begin(config)
        session = self._prepare(self._config_after(_configs(saved), config), saved)
        for event in train(session):
            if event is not None:
                self.take_in(session, event)
                continue
            yield
            self._look_and_obey(session)
            while session.paused and not session.stopping:
                yield
                self._look_and_obey(session)
            if session.stopping:
                self._save_and_end(session)
                return

    def close(self) -> None:
        """Leave the run's files alone from now on."""
        self.journal.close()
        os.close(self.lock_fd)

    def _look_and_obey(self, session: Session) -> None:
        self.waiting += self.inbox.drain(now=True)
        self.obey(session)

    def _prepare(
        self, config: Config, saved: Checkpoint | None, taken: Line | None = None
    ) -> Session:
        if self.script and self.before.threads is None:
            self.before.threads, self.before.speed = self.script.threads, self.script.speed
        torch.manual_seed(config.training.seed)
        module = self._build()
        self.session = session(
            self.folder,
            config,
            module,
            TrainTensors(*pictures(self._pictures), config.data.batch_size),
            batches(4),
            past=self.before,
            saved=saved,
            tell=self.tell,
            follows=self.script,
            taken=taken,
        )
        return self.session
