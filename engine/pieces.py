"""Batches that go through the model in pieces, where they don't fit in memory at once."""

from engine.contract.events import MicroBatchHalved
from engine.oom import is_out_of_memory
from engine.session import Session


def cut(session: Session, error: Exception) -> MicroBatchHalved:
    """Have batches cut into more pieces from now on. Raises `error` where they can't be."""
    p, size = session.progress, session.config.data.batch_size
    before = session.pieces_of(size)
    p.pieces = 2 * before
    session.look_for_prefix()
    if session.compiled:
        session.compiled.begin_anew()
    if session.pieces_of(size) == before:
        raise error
    session.drop_gradients()
    session.device.free_cached()
    return MicroBatchHalved(step=p.step, pieces=p.pieces, samples=-(-size // p.pieces))


def cut_after(session: Session, error: Exception, batch: int) -> MicroBatchHalved:
    """As `cut`, and go back to `batch`, where a step began that `error` has ended.

    Raises `error` also where that is not want of memory.
    """
    if not is_out_of_memory(error):
        raise error
    told = cut(session, error)
    session.progress.batch = batch
    session.reopen_data()
    return told
