"""The engine's async face: start a run or attach to one, follow what it tells, steer it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path

from engine.contract import commands as c
from engine.contract import events as e
from engine.contract import toml
from engine.contract.codec import decode_command, encode
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.state import RunState
from engine.contract.text import plain
from engine.contract.timeline import epochs_begun
from engine.runs import lock, store
from engine.runs.checks import ready
from engine.runs.journal import EVENTS, Outbox, Tail, event_tail
from engine.runs.launch import WORKER, launch

SECONDS_BETWEEN_LOOKS = 0.05
_LONGEST_SLEEP = 0.25
_EPOCHS = "training.epochs"
_ANSWERS = (e.CommandApplied, e.CommandRejected)


class CommandRefused(UserError):  # noqa: N818 (named for what happened)
    """The worker rejected a command; the text is its reason."""


class Run:
    """A run seen from outside, by any number of processes at once.

    `state` is the fold of what `events` or `batches` has yielded so far, of the subscription that
    is furthest where there are several. `lives` workers had taken the run, and ended, before the
    one that is wanted.
    """

    def __init__(self, folder: Path, lives: int = 0) -> None:
        self.folder = folder
        self._earlier_lives = lives
        self.patience = SECONDS_BETWEEN_LOOKS
        """Seconds between two looks at the journal where the last one found nothing."""
        self.state = RunState()
        self.caught_up = False
        """Whether a subscription has read the journal to its end yet."""
        self._folded = 0
        self._restarts = 0
        self._hold = lock.Hold(held=True, silent=False)
        self._in_turn = asyncio.Lock()

    @property
    def status(self) -> store.Status:
        """What the run was doing when it was last looked at by a subscription."""
        return store.status(self.state.phase, self._hold)

    @property
    def begun(self) -> bool:
        """Whether `state` is of the worker that `start` or `resume` launched, not of one before."""
        return self.state.lives > self._earlier_lives

    @property
    def crashed(self) -> bool:
        """Whether the worker died without a word; known once a subscription has read all."""
        return self.caught_up and self.status == "crashed"

    @property
    def last_words(self) -> str:
        """The last line of the worker's log, which may tell why it crashed."""
        return store.last_words(self.folder)

    async def events(self, follow: bool = True) -> AsyncIterator[e.AnyEvent]:
        """Each event from the first on, then those to come; ends when the worker is gone.

        With `follow` false it ends where the journal ends now. Raises `UserError` where the folder
        vanishes.
        """
        async for first, batch in self._read(follow):
            for number, event in enumerate(batch, first):
                self._fold(number, [event])
                yield event

    async def batches(self, follow: bool = True) -> AsyncIterator[list[e.AnyEvent]]:
        """The same in lists: the past in large ones, an empty one, then what each look finds."""
        async for first, batch in self._read(follow):
            self._fold(first, batch)
            yield batch

    async def send(self, command: c.AnyCommand, timeout: float | None = None) -> e.CommandApplied:
        """Return once the worker has obeyed, which it does at the next step boundary.

        Commands are obeyed in the order in which they were sent from here. Raises
        `CommandRefused` with the worker's reason, and `UserError` where there is no living worker,
        where it dies first, or where `timeout` seconds pass.
        """
        async with self._in_turn:
            tail = await self._hand_over(command)
        try:
            async with asyncio.timeout(timeout):
                answer = await self._answer(tail, command)
        except TimeoutError:
            raise UserError(
                f"{c.describe(command)}: sent, and not obeyed within {timeout:g} s."
            ) from None
        if isinstance(answer, e.CommandRejected):
            raise CommandRefused(plain(answer.reason))
        return answer

    async def _hand_over(self, command: c.AnyCommand) -> Tail[e.AnyEvent]:
        """Append a command; its answer will be in what is returned."""
        if not (await asyncio.to_thread(lock.look, self.folder)).held:
            _, status = await asyncio.to_thread(store.state_of, self.folder)
            raise UserError(
                f"{plain(self.folder.name)} is {status}: no worker is there to obey; "
                f"'ftui resume {plain(self.folder.name)}' starts one."
            )
        try:
            decode_command(encode(command))
        except ValueError:  # JSON has no NaN
            raise UserError(f"{c.describe(command)}: not a value that can be sent.") from None
        tail = event_tail(self.folder, offset=_size(self.folder / EVENTS))
        await asyncio.to_thread(Outbox(self.folder).append, command)
        return tail

    async def _answer(
        self, tail: Tail[e.AnyEvent], command: c.AnyCommand
    ) -> e.CommandApplied | e.CommandRejected:
        while True:
            hold, batch = await asyncio.to_thread(self._look, tail)
            for event in batch:
                if isinstance(event, _ANSWERS) and event.command.id == command.id:
                    return event
            if not batch and not hold.held:
                raise UserError(
                    f"{plain(self.folder.name)}: the worker ended before it obeyed "
                    f"'{c.describe(command)}'."
                )
            if not batch:
                await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    async def _read(self, follow: bool) -> AsyncIterator[tuple[int, list[e.AnyEvent]]]:
        """Batches with the number of their first event, counted from the journal's start."""
        tail, count, restarts, replayed = event_tail(self.folder), 0, 0, False
        while True:
            hold, batch = await asyncio.to_thread(self._look, tail)
            if tail.restarts > restarts:
                count, restarts, replayed = 0, tail.restarts, False
                self._start_over(restarts)
            if batch:
                self._hold = lock.Hold(held=True, silent=hold.silent and not replayed)
                yield count, batch
                count += len(batch)
                continue
            self._hold, self.caught_up = hold, True
            if not replayed:
                replayed = True
                yield count, []
            if not follow or not hold.held:
                return
            await self._rest()

    async def _rest(self) -> None:
        """Until the next look; `patience` may change meanwhile."""
        began = time.monotonic()
        while (left := began + self.patience - time.monotonic()) > 0:
            await asyncio.sleep(min(left, _LONGEST_SLEEP))

    def _look(self, tail: Tail[e.AnyEvent]) -> tuple[lock.Hold, list[e.AnyEvent]]:
        """The lock first: if it is free and then nothing is left to read, nothing will come."""
        hold = lock.look(self.folder)
        batch = tail.chunk()
        if not batch and not self.folder.exists():
            raise UserError(f"{plain(self.folder)}: the run's folder is gone.")
        return hold, batch

    def _fold(self, first: int, batch: list[e.AnyEvent]) -> None:
        fresh = batch[max(0, self._folded - first) :]
        self.state.apply_all(fresh)
        self._folded += len(fresh)

    def _start_over(self, restarts: int) -> None:
        """Fold anew a journal that was replaced, once however many subscriptions notice."""
        if restarts > self._restarts:
            self._restarts, self._folded, self.state = restarts, 0, RunState()
            self.caught_up = False


async def start(config: Config, runs_dir: Path | None = None, module: str = WORKER) -> Run:
    """Create a run's folder and start its worker.

    Raises `UserError` where the config names what isn't there; nothing is created then.
    """

    return await _begun(lambda: store.create(ready(config), runs_dir), module)


def attach(run: str | Path, runs_dir: Path | None = None) -> Run:
    """A run by folder, name or beginning of a name, living or ended. Raises `UserError`."""
    return Run(store.find(run, runs_dir))


async def resume(
    run: str | Path,
    overrides: Iterable[str] = (),
    runs_dir: Path | None = None,
    module: str = WORKER,
) -> Run:
    """Start a new worker on a run that has none, with `key=value` overrides of its config, which
    win over what was changed while it was live.

    One that early stopping has ended goes on, with its patience counted anew. Raises `UserError`
    where a worker is on it, where all its epochs are over and it gets no more, or where it would
    get fewer than have begun.
    """
    changes = list(overrides)

    def relaunch() -> Run:
        folder = store.find(run, runs_dir)
        if lock.look(folder).held:
            raise UserError(
                f"{plain(folder.name)} is not over: a worker is on it; "
                f"'ftui attach {plain(folder.name)}' shows it."
            )
        config = toml.load(folder / store.CONFIG, changes)
        state, status = store.state_of(folder)
        if status == "finished":
            _refuse_if_done(folder, state, config, changes)
        elif _sets_epochs(changes):
            _refuse_fewer_epochs(state, config.training.epochs)
        launch(folder, ready(config, resumed=True) if changes else None, module)
        for command in _said_anew(changes, config):
            Outbox(folder).append(command)
        return Run(folder, state.lives)

    return await asyncio.to_thread(relaunch)


async def fork(
    run: str | Path,
    step: int,
    overrides: Iterable[str] = (),
    runs_dir: Path | None = None,
    module: str = WORKER,
) -> Run:
    """Start a new run that is `run` up to `step`, and goes on from there with `key=value` changes.

    Live changes of before that step are part of it. It begins at the newest checkpoint before the
    step, or else from the start, and repeats what is in between. Raises `UserError`.
    """
    from engine.runs.fork import create_fork  # only now: it takes time that a first frame needs

    return await _begun(
        lambda: create_fork(store.find(run, runs_dir), step, overrides, runs_dir), module
    )


async def replay(run: str | Path, runs_dir: Path | None = None, module: str = WORKER) -> Run:
    """Start a new run that repeats `run` from its start, commands included, up to its newest
    checkpoint; `RunState.comparison` then says whether it came to the same weights.

    Raises `UserError` where there is no checkpoint, or the journal does not tell all.
    """
    from engine.runs.fork import create_replay

    return await _begun(lambda: create_replay(store.find(run, runs_dir), runs_dir), module)


async def _begun(create: Callable[[], Path], module: str) -> Run:
    def create_and_launch() -> Path:
        folder = create()
        launch(folder, module=module)
        return folder

    return Run(await asyncio.to_thread(create_and_launch))


def _said_anew(overrides: Iterable[str], config: Config) -> Iterator[c.AnyCommand]:
    """The commands that make `overrides` win over what was changed while live before.

    One that says what `config.toml` says already is no change that the worker could see there.
    """
    for override in overrides:
        key, _, text = (part.strip() for part in override.partition("="))
        if key == "optimizer.lr":
            yield c.SetLearningRate(config.optimizer.lr)
        elif key == "trainable":
            yield c.SetPlan(config.trainable)
        elif key in c.LIVE_OPTIONS:
            yield c.SetOption(key, text)


def _refuse_if_done(
    folder: Path, state: RunState, config: Config, overrides: Iterable[str]
) -> None:
    """One that early stopping has ended goes on as long as there are epochs left."""
    before = state.asked.training.epochs if state.asked else None
    wanted = config.training.epochs
    if not _sets_epochs(overrides) and wanted == before:
        wanted = state.epochs  # which may have been changed while live
    if wanted <= state.epoch:
        raise UserError(
            f"{plain(folder.name)} finished its {state.epoch} epochs; "
            f"'--set {_EPOCHS}={2 * state.epoch}' gives it more."
        )


def _sets_epochs(overrides: Iterable[str]) -> bool:
    return any(override.partition("=")[0].strip() == _EPOCHS for override in overrides)


def _refuse_fewer_epochs(state: RunState, wanted: int) -> None:
    begun = epochs_begun(state, state.step)
    if wanted < begun:
        raise UserError(f"{_EPOCHS}: epoch {begun} is under way, so it can't be {wanted}.")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
