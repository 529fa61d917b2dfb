"""What a run repeats of another one, from its start: how forks and replays come to be.

A script is the past of a run as its journal tells it: the config that it began with, and every
command that was obeyed, every change of the config, each with its place. A worker that finds
`script.json` in its folder obeys it as it comes by those places. A fork's script ends with the
config that the fork is to go on with; a replay's with a stop where the other run is.
"""

from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.speed import Speed
from engine.contract.text import plain
from engine.past import Past, speed_of
from engine.progress import Position, Progress
from engine.runs.journal import event_tail

FILE = "script.json"
COMPARED_WITH = "replayed"
"""In a replay's folder: the weights that it should come to."""


class Key(NamedTuple):
    """A place in the course of a run; along it, keys only grow."""

    configs: int
    """How often the run went on with another config so far."""
    rewinds: int
    step: int
    epoch: int
    """Under way or about to begin."""
    stages_begun: int


class Line(Struct, frozen=True, omit_defaults=True):
    """A command to be obeyed at a place, a config that the run goes on with from there, or neither:
    there it was finished and went on, with early stopping patient anew."""

    key: Key
    command: c.AnyCommand | None = None
    config: Config | None = None
    fork: bool = False
    """Whether a fork begins with `config`, which then says all."""


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

    def config_after(self, changes: int) -> Config | None:
        """The config in force after so many changes of it; None for the last that the script knows
        of and whatever comes later, where `config.toml` has it."""
        known = [self.config, *(line.config for line in self.lines if line.config)]
        return known[changes] if changes < len(known) - 1 else None

    def still_to_come(self, p: Progress) -> list[Line]:
        """What is to be repeated from `p` on."""
        key, done = key_of(p), set(p.steering)
        return [
            line
            for line in self.lines
            if line.key >= key and not (line.command and line.command.id in done)
        ]


def key_of(p: Progress) -> Key:
    """Where a run is."""
    return Key(p.configs, p.rewinds, *p.position)


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

    `epoch` is the one under way there, or about to begin; what was decided there is in `config`.
    Raises `UserError` where the journal can't tell.
    """
    told = _Telling(folder)
    end = Key(*told.for_good(step), step, epoch, 0)
    lines = [*(x for x in told.lines() if x.key < end), Line(end, config=config, fork=True)]
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
        if line.key < key
        or (line.key == key and not line.config and not _steers_after(line.command, end))
    ]
    lines.append(Line(key, command=c.Stop()))
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
        self._configs = self._rewinds = 0
        self._began = False
        self._resumed: tuple[int, Position, Config] | None = None
        """Place in the journal of the newest resume, where it went on from, and its config."""
        self._finished = False
        """Whether the run had been finished there."""
        self._changes: list[tuple[Key, int, Line]] = []
        """As `_own`, the changes of the config that a later worker has not undone: one that died
        before it saved anything has changed nothing."""
        self._eras: list[tuple[int, int, int]] = []
        """From which step on steps were taken with so many changes of the config and rewinds."""
        self._saved: dict[int, tuple[Position, int]] = {0: ((0, 1, 0), 0)}
        """Of the newest checkpoint at each step where it is, and its place in the journal."""
        for number, event in enumerate(_events(folder)):
            self._take(number, event)
        self._keep()

    def lines(self) -> list[Line]:
        own = sorted([*self._own, *self._changes], key=lambda item: item[:2])
        return sorted([*self._before, *(line for *_, line in own)], key=lambda line: line.key)

    def for_good(self, step: int) -> tuple[int, int]:
        """Changes of the config, and rewinds, before `step` was taken for good."""
        eras = [era for era in self._eras[1:] if era[0] < step]
        _, configs, rewinds = (self._eras[:1] + eras)[-1] if self._eras else (0, 0, 0)
        return configs, rewinds

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
            case e.RunResumed():
                self._resume(number, event)
            case e.TrainingStarted(threads=threads):
                self.threads = self.threads or threads
                self.speed = self.speed or speed_of(event)
                self._start(event)
            case e.CommandApplied(command=command):
                self._told_at[command.id] = number
            case e.CheckpointSaved(step=step, reason=reason):
                position = step, event.epoch, event.stages_begun
                self._saved[step] = position, number
                rewound_to = reason in ("start", "command", "stop", "found")  # maybe, later
                if rewound_to and not self._repeats(position):
                    self._add(number, position, command=c.Checkpoint())
            case e.Rewound():
                position = event.from_step, event.from_epoch, event.from_stages_begun
                self._keep(until=position)
                if not (event.by_guard or self._repeats(position)):  # the guard sees it again
                    self._add(number, position, command=c.Rewind(event.step))
                self._rewinds += 1
                self._eras.append((event.step, self._configs, self._rewinds))
        self._past.apply(event)

    def _resume(self, number: int, event: e.RunResumed) -> None:
        """What a worker goes on with counts once it has begun."""
        self.config = self.config or event.config
        position, saved_at = self._saved.get(event.from_step, ((event.from_step, 1, 0), number))
        if self._past.config not in (None, event.config):
            self._keep(position, before=saved_at)
        self._resumed = number, position, event.config
        self._finished = self._past.finished_at == event.from_step

    def _start(self, event: e.TrainingStarted) -> None:
        if self._began and event.rewinds != self._rewinds:
            raise UserError(
                f"{plain(self._folder.name)}: its worker died in the middle of a rewind, so its "
                "journal does not tell all; it can't be repeated."
            )
        self._began, self._rewinds, self._configs = True, event.rewinds, event.configs
        self._eras.append((event.step, event.configs, event.rewinds))
        if self._resumed is None:
            return
        number, position, config = self._resumed
        if event.configs == 0:  # whoever died before it saved anything has begun nothing
            self.config = config
        own = event.configs - sum(line.config is not None for line in self._before)
        del self._changes[max(0, own) :]
        if own > 0 and [line.config for *_, line in self._changes[own - 1 :]] != [config]:
            key = Key(event.configs - 1, event.rewinds, *position)
            self._changes[own - 1 :] = [(key, number, Line(key, config=config))]
        if self._finished:
            self._add(number, position)

    def _repeats(self, position: Position) -> bool:
        """Whether the run itself repeats another one there."""
        here = Key(self._configs, self._rewinds, *position)
        return bool(self._before) and here <= self._before[-1].key

    def _keep(self, until: Position | None = None, before: float = inf) -> None:
        """What `Past` holds now, up to a place, did happen, and nothing to come makes it void.

        Only what was told `before` a place in the journal, that of a checkpoint: what this one
        lacks was obeyed once more under the new config.
        """
        for item in self._past.steering:
            told_at = self._told_at[item.command.id]
            in_time = (until is None or item.position <= until) and told_at < before
            if item.command.id not in self._kept and in_time:
                self._kept.add(item.command.id)
                self._add(told_at, item.position, command=item.command)

    def _add(self, number: int, position: Position, command: c.AnyCommand | None = None) -> None:
        key = Key(self._configs, self._rewinds, *position)
        self._own.append((key, number, Line(key, command)))


def _events(folder: Path) -> Iterator[e.Event]:
    tail = event_tail(folder)
    while events := tail.chunk():
        yield from events
