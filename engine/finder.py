"""`python -m engine.finder`: looks for a learning rate or a batch size before a run starts.

Reads what is sought from standard input, one line of JSON, and writes what it finds to standard
output as it goes, likewise (`engine.contract.finding`). It trains a model that nobody keeps, in a
process of its own: no other question waits for it, to stop it is to end the process, and all the
memory is given back. It measures speed, so it doesn't yield to others.
"""

import contextlib
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec

from engine.contract.codec import encode
from engine.contract.errors import UserError
from engine.contract.event import Event
from engine.contract.events import PreparationAdvanced, Warned
from engine.contract.finding import Finding, FindRate, SearchFailed, Sought
from engine.contract.text import plain
from engine.imports import uncollected
from engine.inspector import protected_stdout
from engine.oom import is_out_of_memory
from engine.past import Past

_NO_MEMORY = (
    "There was not enough memory to make a single step: set data.batch_size lower, or freeze more "
    "of the model."
)


def main() -> None:
    findings = protected_stdout()

    def tell(event: Finding) -> None:
        findings.write(encode(event))
        findings.flush()

    sought: Sought = msgspec.json.decode(sys.stdin.buffer.readline(), type=Sought)
    with contextlib.suppress(BrokenPipeError):  # nobody listens any more
        try:
            search(sought, tell)
        except UserError as error:
            tell(SearchFailed(error=str(error)))
        except BrokenPipeError:
            raise
        except Exception as error:
            traceback.print_exc()
            tell(SearchFailed(error=_words(error)))
    os._exit(0)  # torch's own teardown takes a second


def search(sought: Sought, tell: Callable[[Finding], None]) -> None:
    """Prepare as for a run, and look; raises `UserError` where that can't be done."""
    tell(PreparationAdvanced(stage="importing torch"))
    with uncollected():
        from engine.find_batch import find_batch, for_sizes
        from engine.find_lr import find_lr, for_search
        from engine.prepare import prepare

    def heard(event: Event) -> None:
        if isinstance(event, PreparationAdvanced | Warned):
            tell(event)

    by_rate = isinstance(sought, FindRate)
    fit, look = (for_search, find_lr) if by_rate else (for_sizes, find_batch)
    with tempfile.TemporaryDirectory(prefix="ftui-") as folder:  # for what L2-SP goes back to
        session = prepare(fit(sought.config), Path(folder), Past(), None, heard, ())
    for event in look(session):
        tell(event)
    session.train_data.close()
    session.val_data.close()


def _words(error: Exception) -> str:
    if is_out_of_memory(error):
        return _NO_MEMORY
    return f"The search failed ({type(error).__name__}: {plain(error, 200)})."


if __name__ == "__main__":
    main()
