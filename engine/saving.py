"""What is pending told, a loss that went wrong dealt with, and checkpoints saved."""

from collections.abc import Generator, Iterator

from engine import rewind, snapshot
from engine.contract import events as e
from engine.contract.errors import UserError
from engine.session import Session


def settle(session: Session) -> Generator[e.Event, None, bool]:
    """Tell what is pending; returns whether the guard took the run back for it.

    It comes before whatever must not be done with weights that went wrong: an evaluation, a
    checkpoint, a command.
    """
    yield from session.pending.flush()
    return (yield from rewind.if_alarmed(session))


def save(
    session: Session, reason: snapshot.Reason, best: bool = False
) -> Generator[e.Event, None, bool]:
    """A checkpoint that the loop wants; a disk that refuses does not end the run.

    Returns whether it was saved. What is pending must have been told.
    """
    try:
        yield snapshot.save(session, reason, best)
    except UserError as error:
        yield e.Warned(message=str(error))
        return False
    return True


def pause_for_room(session: Session, what: str) -> Iterator[e.Event | None]:
    """Let somebody make room, where the disk refused something that the run must not end without.

    `what` it was is the start of a sentence.
    """
    yield e.Warned(message=f"{what}: make room, then resume the run to save it.")
    session.paused = True
    yield e.RunPaused(step=session.progress.step)
    yield None
