"""Runs that a steered one must come to the same as, bit for bit.

A calm one, never killed and never taken back, that is sent only the commands that still count; and
a replay, by the engine's own means.
"""

from collections.abc import Callable, Sequence, Set
from pathlib import Path

import msgspec
from safetensors.torch import load_file

from engine import checkpoint
from engine.contract import toml
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.state import RunState
from engine.finish import FILE
from engine.runs import fork, store
from engine.runs.journal import Outbox, event_tail
from engine.session import Session
from tests.engine.driven import Driven
from tests.engine.oracle import Given
from tests.engine.sessions import fold
from tests.engine.watch import differing, everything, stored

MakeWorker = Callable[[Path], Driven]


class Result:
    """What a run came to, as far as it must not depend on who steered or killed it."""

    def __init__(self, session: Session, given_up: Set[str] = frozenset()) -> None:
        """`given_up` are the ids of commands that could not be repeated; they are remembered."""
        self.folder = session.folder
        self.tensors = everything(session)
        self.progress = msgspec.structs.asdict(session.progress)
        self.progress["steering"] = set(session.progress.steering) - given_up
        del self.progress["rewinds"]


def compare_with_calm(
    ours: Result, asked: Config, counts: Sequence[Given], make: MakeWorker
) -> str:
    """Says in a few words whether it could be: a calm run has no boundary behind its last step."""
    folder = ours.folder.with_name("calm")
    folder.mkdir()
    calm = make(folder)
    to_come = sorted(counts, key=lambda given: given.position)
    for _ in calm.life(asked):
        while to_come and to_come[0].position <= calm.session.progress.position:
            Outbox(folder).append(to_come.pop(0).command)
    calm.close()
    if to_come:
        return "no calm run: steered behind the last step"
    its = Result(calm.session)
    assert differing(ours.tensors, its.tensors) == []
    assert ours.progress == its.progress
    one, other = (fold(event_tail(run).read()) for run in (ours.folder, folder))
    assert one.loss.values.tolist() == other.loss.values.tolist()
    assert _figures(one) == _figures(other)
    assert differing(load_file(ours.folder / FILE), load_file(folder / FILE)) == []
    return "compared with a calm run"


def compare_with_replay(run: Path, make: MakeWorker, may_refuse: bool) -> str:
    """Says in a few words whether it could be; `may_refuse`: a worker died while it went back."""
    try:
        folder = fork.create_replay(run, run.with_name("replays"))
    except UserError as error:
        if not (may_refuse and "died in the middle of a rewind" in str(error)):
            raise
        return "no replay: killed in the middle of a rewind"
    replay = make(folder)
    code = replay.run(toml.load(folder / store.CONFIG))
    replay.close()
    state = fold(event_tail(folder).read())
    assert code == 0, state.error
    assert state.comparison
    assert state.comparison.different == []
    (one, _), (other, _) = map(checkpoint.newest, (run, folder))
    assert one
    assert other
    assert differing(stored(one), stored(other)) == []
    assert one.manifest.progress == other.manifest.progress
    return "compared with a replay"


def _figures(state: RunState) -> list[tuple[int, float | None, float]]:
    """Step, loss and accuracy of each evaluation of an epoch."""
    both = [*state.evaluations, *state.averaged]
    return [(x.step, x.loss, x.figures["top1"]) for x in both if x.reason == "epoch"]
