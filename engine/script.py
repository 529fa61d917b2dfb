"""What a run repeats of another one, from its start: how forks and replays come to be.

A script is the past of a run as its journal tells it: the config that it began with, and every
command that was obeyed, every change of the config, each with its place. A worker that finds
`script.json` in its folder obeys it as it comes by those places. A fork's script ends with the
config that the fork is to go on with; a replay's with a stop where the other run is.
"""

from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path

import msgspec
from msgspec import Struct

from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.speed import Speed
from engine.contract.text import plain
from engine.past import Past, speed_of
from engine.progress import Progress
from engine.runs.journal import event_tail

FILE = "script.json"
COMPARED_WITH = "replayed"
"""In a replay's folder: the weights that it should come to."""

Key = tuple[int, int, int]
"""A place in the course of a run: rewinds so far, step, epoch under way or about to begin."""


class Line(Struct, frozen=True, omit_defaults=True):
    """A command to be obeyed at a place, a config that is in force from there, or neither: there
    the run was finished and went on, with early stopping patient anew."""

    rewinds: int
    step: int
    epoch: int
    command: c.AnyCommand | None = None
    config: Config | None = None
    fork: str = ""
    """Where a fork begins with `config`, which then says all: the folder of its parent."""

    @property
    def key(self) -> Key:
        return self.rewinds, self.step, self.epoch


class Script(Struct, frozen=True, kw_only=True):
    """The past that a run repeats."""

    parent: str
    """The folder of the run whose past it is, absolute."""
    step: int
    """The last one that the two have in common."""
    replay: bool
    """Whether that is all, and the two are to be compared; else the run is a fork."""
    threads: int | None
    """CPU threads of the other run: other numbers of them round otherwise."""
    speed: Speed | None
    """How it computes."""
    config: Config
    """The one that the other run began with."""
    lines: list[Line]
    """In the order of their places."""

    def config_at(self, p: Progress | None) -> Config | None:
        """The config in force at a place, and at the start without one; None behind the last that
        the script knows of, where `config.toml` has it."""
        key = key_of(p) if p else (0, 0, 1)
        configs = [line for line in self.lines if line.config]
        if not configs or key >= configs[-1].key:
            return None
        return next((x.config for x in reversed(configs) if x.key <= key), self.config)

    def fork_at(self, p: Progress) -> str:
        """Of which run a fork begins at a place; empty where none does."""
        key = key_of(p)
        return next((x.fork for x in reversed(self.lines) if x.fork and x.key == key), "")

    def still_to_come(self, p: Progress) -> list[Line]:
        """What is to be repeated from `p` on."""
        key = key_of(p)
        return [
            line
            for line in self.lines
            if (line.key > key if line.config else line.key >= key)
            and not (line.command and line.command.id in p.steering)
        ]


def key_of(p: Progress) -> Key:
    """Where a run is."""
    return p.rewinds, p.step, p.epoch


def load(folder: Path) -> Script | None:
    """The script of the run in `folder`, if it has one. Raises `UserError` where it is damaged."""
    path = folder / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Script)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{plain(path)}: the script can't be read ({plain(error)}).") from None


def save(folder: Path, script: Script) -> None:
    """Write the script of a run that is being created. Raises `OSError`."""
    path = folder / FILE
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode(script))


def of_fork(folder: Path, step: int, epoch: int, config: Config) -> Script:
    """The past of the run in `folder` up to `step`, going on with `config`.

    `epoch` is the one under way there, or about to begin. Raises `UserError` where the journal
    can't tell.
    """
    told = _Telling(folder)
    end = told.rewinds_before(step), step, epoch
    begins = Line(*end, config=config, fork=str(folder))
    lines = [*(x for x in told.lines() if x.key <= end), begins]
    return told.script(step, lines, replay=False)


def of_replay(folder: Path, end: Progress) -> Script:
    """All of the past of the run in `folder`, up to its checkpoint `end`.

    What was obeyed there once it was saved is left out. Raises `UserError` where the journal can't
    tell.
    """
    told = _Telling(folder)
    key = key_of(end)
    lines = [
        line
        for line in told.lines()
        if line.key <= key and not (line.key == key and _steers_after(line.command, end))
    ]
    lines.append(Line(*key, command=c.Stop()))
    return told.script(end.step, lines, replay=True)


def _steers_after(command: c.AnyCommand | None, saved: Progress) -> bool:
    return isinstance(command, c.Steering) and command.id not in saved.steering


class _Telling:
    """A journal read for what was decided, when.

    Commands that a crash lost are obeyed once more by the worker that comes next, at the same
    places, but for those that a newer one or the config has made void: `Past` knows which.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        before = load(folder)
        self.config = before.config if before else None
        self.threads = before.threads if before else None
        self.speed = before.speed if before else None
        self._before = before.lines if before else []
        self._own: list[tuple[Key, int, Line]] = []
        """With the place in the journal, which tells the order of what has the same key."""
        self._past = Past()
        self._kept: set[str] = set()
        self._told_at: dict[str, int] = {}
        self._rewinds: int | None = None
        self._targets: list[tuple[int, int]] = []
        """Rewinds before each return, and the step that it went to."""
        self._saved: dict[int, tuple[int, int]] = {0: (1, 0)}
        """Epoch of the newest checkpoint at each step, and its place in the journal."""
        self._config_at = 0
        """The place in the journal of the newest config."""
        for number, event in enumerate(_events(folder)):
            self._take(number, event)
        self._keep()

    def lines(self) -> list[Line]:
        own = sorted(self._own, key=lambda item: item[:2])
        return [*self._before, *(line for _, _, line in own)]

    def rewinds_before(self, step: int) -> int:
        """Rewinds before `step` was taken for good."""
        found = self._targets[0][0] if self._targets else self._rewinds or 0
        for before, target in self._targets:
            found = before + 1 if step > target else found
        return found

    def script(self, step: int, lines: Sequence[Line], replay: bool) -> Script:
        if self.config is None:
            raise UserError(f"{plain(self._folder.name)}: the run has not begun yet.")
        return Script(
            parent=str(self._folder),
            step=step,
            replay=replay,
            threads=self.threads,
            speed=self.speed,
            config=self.config,
            lines=list(lines),
        )

    def _take(self, number: int, event: e.Event) -> None:
        match event:
            case e.RunStarted(config=config):
                self.config = self.config or config
            case e.RunResumed(config=config):
                self._resumed(number, event)
            case e.TrainingStarted(threads=threads):
                self.threads = self.threads or threads
                self.speed = self.speed or speed_of(event)
                self._check(event)
            case e.CommandApplied(command=command):
                self._told_at[command.id] = number
            case e.CheckpointSaved(step=step, epoch=epoch, reason=reason):
                self._saved[step] = epoch, number
                if reason in ("start", "command", "stop", "found"):  # a rewind may go there
                    self._add(number, step, epoch, command=c.Checkpoint())
            case e.Rewound():
                self._keep(until=(event.from_step, event.from_epoch))
                if not event.by_guard:  # the guard sees it again by itself
                    back = c.Rewind(event.step)
                    self._add(number, event.from_step, event.from_epoch, command=back)
                self._targets.append((self._rewinds or 0, event.step))
                self._rewinds = (self._rewinds or 0) + 1
        self._past.apply(event)

    def _resumed(self, number: int, event: e.RunResumed) -> None:
        self.config = self.config or event.config
        epoch, saved_at = self._saved.get(event.from_step, (1, number))
        if self._past.config not in (None, event.config):
            self._keep((event.from_step, epoch), before=saved_at)
            self._add(number, event.from_step, epoch, config=event.config)
            self._config_at = number
        if self._past.finished_at == event.from_step:
            self._add(number, event.from_step, epoch)

    def _keep(self, until: tuple[int, int] | None = None, before: float = inf) -> None:
        """What `Past` holds now, up to a place, did happen, and nothing to come makes it void.

        Only what was told `before` a place in the journal, that of a checkpoint: what this one
        lacks was obeyed once more under the new config.
        """
        for item in self._past.steering:
            told_at = self._told_at[item.command.id]
            in_time = (until is None or item.position <= until) and told_at < before
            if item.command.id not in self._kept and in_time:
                self._kept.add(item.command.id)
                number = max(told_at, self._config_at)
                self._add(number, item.step, item.epoch, command=item.command)

    def _add(
        self,
        number: int,
        step: int,
        epoch: int,
        command: c.AnyCommand | None = None,
        config: Config | None = None,
    ) -> None:
        line = Line(self._rewinds or 0, step, epoch, command, config)
        self._own.append((line.key, number, line))

    def _check(self, event: e.TrainingStarted) -> None:
        if self._rewinds not in (None, event.rewinds):
            raise UserError(
                f"{plain(self._folder.name)}: its worker died in the middle of a rewind, so its "
                "journal does not tell all; it can't be repeated."
            )
        self._rewinds = event.rewinds


def _events(folder: Path) -> Iterator[e.Event]:
    tail = event_tail(folder)
    while events := tail.chunk():
        yield from events
