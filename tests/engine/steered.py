"""A run that is steered, killed and resumed, and the books that are kept on it.

What should be in force is worked out by `oracle`, each step is watched by `watch`, and at the end
the run is compared with its `twins`.
"""

from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
from torch import Tensor

from engine import checkpoint
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.config import Config
from engine.runs.journal import Outbox, event_tail
from tests.engine.driven import Driven, Killed
from tests.engine.networks import NETWORKS
from tests.engine.oracle import Anatomy, Expected, Given
from tests.engine.sessions import fold
from tests.engine.twins import Result, compare_with_calm, compare_with_replay
from tests.engine.watch import Watch, differing, everything

PICTURES = 12
_LONGEST = 200
"""Boundaries to a run's end."""


class Saved(NamedTuple):
    """What a checkpoint must bring back."""

    expected: Expected
    tensors: dict[str, Tensor]


@cache
def anatomy_of(network: str) -> Anatomy:
    return Anatomy(NETWORKS[network], NETWORKS[network].build())


class Steered:
    """Whoever starts, steers and kills a run's workers, one after the other."""

    def __init__(self, root: Path, network: str, asked: Config, met: Callable[[str], None]) -> None:
        """The run's folder is made in `root`; `met` is told what the run came by."""
        self.root, self.folder, self.asked, self.met = root, root / "run", asked, met
        self.folder.mkdir()
        self._worker = partial(Driven, NETWORKS[network].build, PICTURES)
        batches = -(-PICTURES // asked.data.batch_size)
        steps_per_epoch = -(-batches // asked.training.accumulate)
        self.expected = Expected(anatomy_of(network), asked, steps_per_epoch)
        self._history: list[Given] = []
        """The commands that count, as acknowledged."""
        self._sent: list[c.AnyCommand] = []
        self._answered: set[str] = set()
        self._lost: set[str] = set()
        """Ids of commands that were not answered when a worker was killed."""
        self._saved: dict[str, Saved] = {}
        """Each checkpoint that was written, by its name; what the run began with has none."""
        self.steps_saved: set[int] = set()
        """Those that there are checkpoints of."""
        self._rates: dict[int, float] = {}
        self._driven: Driven | None = None
        self._watch: Watch | None = None
        self._launched = 0.0
        self._frozen_once: set[str] = set()
        self._rewinding = self._torn = False
        self._disturbed = False
        """Whether it was killed, ended or taken back, which a calm run is not."""
        self.finished = self.failed = False
        write = checkpoint.save
        self._spy = patch.object(checkpoint, "save", lambda *args: self._save(write, *args))
        self._spy.start()

    # From outside

    def send(self, kind: Callable[..., c.AnyCommand], **what: Any) -> None:
        """Send a command; it is obeyed at the step boundary where the run is, or that is next."""
        number = len(self._sent) + 1
        command = kind(id=str(number), time=float(number), **what)
        self._sent.append(command)
        Outbox(self.folder).append(command)

    def advance(self) -> None:
        """To the next step boundary, or to the end of the run or its worker."""
        if self.finished:
            return
        self._launch()
        try:
            next(self._life)
            self._look()
        except StopIteration:
            self._bury()
        except Killed as killed:
            self.met(f"killed before {type(killed.event).__name__}")
            self._rewinding |= isinstance(killed.event, e.Rewound)
            self.kill()
        except BaseException:
            self.failed = True
            raise

    def kill(self) -> None:
        """The worker, if there is one, where it is."""
        if self._driven is None:
            return
        unanswered = {x.id for x in self._sent} - self._answered
        if unanswered:
            self.met("killed with a command unanswered")
        self._lost |= unanswered
        self._torn |= self._rewinding
        self._rewinding = False
        self._life.close()
        self._bury()

    def kill_amid(self, events: int) -> None:
        """As soon as the worker is about to tell one more than so many events; a paused one at
        once."""
        if self.finished:
            return
        driven = self._launch()
        driven.dies_in = events
        while self._driven is driven:
            self.kill() if self._paused else self.advance()

    def close(self) -> None:
        self._spy.stop()
        if self._driven:
            self._driven.close()

    # Workers come and go

    @property
    def _paused(self) -> bool:
        return bool(self._driven and self._driven.session and self._driven.session.paused)

    def _launch(self) -> Driven:
        if self._driven is None:
            self._driven = self._worker(self.folder, self._launched + 0.5, self._hear)
            self._life = self._driven.life(self.asked)
        return self._driven

    def _bury(self) -> None:
        assert self._driven
        self._driven.close()
        self._driven = None
        self._launched = float(len(self._sent))

    def _look(self) -> None:
        """At a step boundary."""
        assert self._watch
        self._here = self._watch.session.progress.position
        for given in sorted(self._history, key=lambda given: given.position):
            if given.position <= self._here and given.command.id not in self.expected.applied:
                self._repeat(given)
        self._watch.look()

    def _repeat(self, given: Given) -> None:
        if self.expected.refuses(given.command, self._here[1]):
            self.met("a lost command given up")
            self.expected.give_up(given.command)
        else:
            self.met("a lost command repeated")
            self.expected.apply(given.command, self._here)

    # What is heard of it

    def _save(self, write: Callable[..., checkpoint.Checkpoint], run: Path, *args: Any) -> Any:
        """Stands for `checkpoint.save`, which is `write`."""
        saved = write(run, *args)
        if run == self.folder:
            assert self._watch
            tensors = everything(self._watch.session)
            self._saved[saved.path.name] = Saved(self.expected.copy(), tensors)
            self.steps_saved = self._look_for_checkpoints()
            self._rewinding = False
        return saved

    def _hear(self, event: e.Event) -> None:
        match event:
            case e.RunResumed():
                self.met("resumed")
                self._disturbed = True
            case e.TrainingStarted():
                self._begin()
            case e.EpochStarted():
                assert not self._is_due(between_epochs=True)
            case e.PlanChanged(change=change) if change.startswith("stage "):
                self._begin_stage()
            case e.Warned(message=message) if "is passed over" in message:
                self._begin_stage()
            case e.Evaluated(reason="epoch", weights="raw"):
                assert not self._is_due(between_epochs=False)
                assert event.loss is not None
                self.expected.judge(event.loss)
            case e.Rewound():
                self._go_back(event)
            case e.CommandApplied():
                self._applied(event)
            case e.CommandRejected():
                self._rejected(event)
            case e.RunFinished():
                assert self._watch
                self._result = Result(self._watch.session, self.expected.given_up)
                self.finished = True

    def _begin(self) -> None:
        """A worker is ready to train: it has all that was saved, and nothing else."""
        assert self._driven
        assert self._driven.session
        session = self._driven.session
        self._watch = Watch(session, self.expected, self._stepping, self._stepped)
        self._saved.setdefault("", Saved(self.expected.copy(), everything(session)))
        self._come_back()

    def _come_back(self) -> None:
        """What there is now is what there was when the last checkpoint was saved."""
        assert self._watch
        last = self.folder / checkpoint.FOLDER / checkpoint.LAST
        saved = self._saved[last.readlink().name if last.is_symlink() else ""]
        assert differing(everything(self._watch.session), saved.tensors) == []
        self.expected, self.steps_saved = saved.expected.copy(), self._look_for_checkpoints()
        self._watch.expected = self.expected
        self._watch.take_over()
        self._here = self._watch.session.progress.position

    def _is_due(self, between_epochs: bool) -> bool:
        assert self._watch
        return self.expected.is_due(self._watch.session.progress.position, between_epochs)

    def _begin_stage(self) -> None:
        assert self._watch
        p = self._watch.session.progress
        assert self._is_due(between_epochs=p.batch == 0)
        self.met(f"a stage begun: {self.expected.begin_stage(p.position)}")

    def _stepping(self) -> None:
        assert not self._is_due(between_epochs=False)

    def _stepped(self, rate: float, moved: set[str]) -> None:
        self._rates[self.expected.step] = rate
        if moved & self._frozen_once:
            self.met("a tensor moved that was frozen before")
        self._frozen_once |= set(self.expected.anatomy.names) - self.expected.trainable

    def _go_back(self, event: e.Rewound) -> None:
        """What came after the checkpoint has never been."""
        asked = int(event.reason.removeprefix("rewind "))
        assert event.step == max(step for step in self.steps_saved if step <= asked)
        self.met(f"rewound by {event.from_step - event.step} steps")
        self._come_back()
        self._history = [x for x in self._history if x.command.id in self.expected.applied]
        self._rewinding = self._disturbed = True

    def _applied(self, event: e.CommandApplied) -> None:
        command = event.command
        self._answered.add(command.id)
        self.met(f"obeyed {type(command).__name__}")
        if not isinstance(command, c.Steering):
            return
        given = Given((event.step, event.epoch, event.stages_begun), command)
        assert given.position == self._here
        assert not self.expected.refuses(command, event.epoch)
        self.expected.apply(command, given.position)
        void = [x for x in self._history if x.position > self._here and x.decides == given.decides]
        if void:
            self.met("a lost command overtaken")
        self._history = [*(x for x in self._history if x not in void), given]

    def _rejected(self, event: e.CommandRejected) -> None:
        command = event.command
        self._answered.add(command.id)
        if event.reason == "It was sent before the run's last worker died.":
            assert command.id in self._lost
            self.met("refused: its worker had died")
        elif event.reason in ("The run has finished.", "The run has stopped."):
            self.met("refused: too late")
        elif isinstance(command, c.Rewind):
            self.met("refused Rewind")
            assert all(step > command.step for step in self.steps_saved)
        else:
            self.met(f"refused {type(command).__name__}")
            assert isinstance(command, c.Steering)
            assert self.expected.refuses(command, self._here[1]), event.reason

    def _look_for_checkpoints(self) -> set[int]:
        there = (self.folder / checkpoint.FOLDER).glob("step-*")
        return {int(path.name.split("-")[1]) for path in there}

    # The end

    def end(self) -> None:
        """Let the run finish, and compare it with what it must be equal to."""
        for _ in range(_LONGEST):
            if self.finished:
                break
            if self._driven:
                self._driven.dies_in = None
            if self._paused:
                self.send(c.Resume)
            self.advance()
        assert self.finished
        events = event_tail(self.folder).read()
        answers = [x for x in events if isinstance(x, e.CommandApplied | e.CommandRejected)]
        assert Counter(x.command.id for x in answers) == Counter(x.id for x in self._sent)
        state = fold(events)
        rates = [self._rates[n + 1] for n in range(state.step)]
        assert state.lr.values.tolist() == pytest.approx(rates, rel=1e-12)
        counts = [x for x in self._history if x.command.id not in self.expected.given_up]
        if self._disturbed:
            self.met(compare_with_calm(self._result, self.asked, counts, self._worker))
        self.met(compare_with_replay(self.folder, self._worker, may_refuse=self._torn))
