"""`python -m engine.inspector`: answers what needs torch, for a process that must not import it.

Reads questions from standard input, one JSON object a line, and writes answers to standard
output in the same order, some after words on what goes on (`engine.contract.inspection`). Ends when
its input does.
"""

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Callable
from threading import Timer, get_native_id
from typing import BinaryIO

import msgspec

from engine.contract.errors import UserError
from engine.contract.inspection import (
    Answer,
    AskBaseline,
    AskCatalogue,
    AskCost,
    AskData,
    AskDescribe,
    AskDevice,
    Asked,
    AskSamples,
    AskScan,
    Device,
    Question,
)
from engine.contract.text import plain
from engine.imports import uncollected

_NICENESS = 5
"""Linux shares a busy core by weights, of which each step takes a fifth: at 5 it gets a quarter
beside a thread that trains, at 10 a tenth, so that a tree of one second took ten; at 19 one
hundredth."""
_NICENESS_IDLE = 10
_IDLE = 3.0
"""Seconds without a question after which it gets ready for rarer ones."""


def main() -> None:
    os.nice(_NICENESS)
    answers = protected_stdout()

    def say(said: Answer) -> None:
        answers.write(msgspec.json.encode(said) + b"\n")
        answers.flush()

    with uncollected(), contextlib.suppress(ImportError):  # whose sentence the first answer gives
        importlib.import_module("engine.models")  # seconds, begun before anything is asked
    idle = _when_idle()
    with contextlib.suppress(BrokenPipeError):  # the asker is gone
        for line in sys.stdin.buffer:
            idle.cancel()
            say(answer(line, say))
            idle = _when_idle()
    os._exit(0)  # torch's own teardown takes a second


def answer(line: bytes, say: Callable[[Answer], None]) -> Answer:
    """The answer to one line; a defect of ours becomes an error too, its traceback on stderr.

    `say` is given what goes on until then.
    """
    asked = 0
    try:
        asked = msgspec.json.decode(line, type=Asked).id
        question: Question = msgspec.json.decode(line, type=Question)
        found = _look_up(question, lambda words: say(Answer(asked, doing=words)))
        return Answer(asked, msgspec.Raw(msgspec.json.encode(found)))
    except msgspec.MsgspecError as error:
        return Answer(asked, error=f"The inspector does not understand the question: {error}.")
    except UserError as error:
        return Answer(asked, error=str(error))
    except Exception as error:  # the process outlives one bad model
        traceback.print_exc()
        kind = type(error).__name__
        return Answer(asked, error=f"The inspector failed ({kind}: {plain(error, 200)}).")


def _when_idle() -> Timer:
    """Have what takes long imported, where nothing is asked for a while."""
    timer = Timer(_IDLE, _import_transformers)
    timer.daemon = True
    timer.start()
    return timer


def _import_transformers() -> None:
    if sys.platform == "linux":  # where a thread has a niceness of its own
        os.setpriority(os.PRIO_PROCESS, get_native_id(), _NICENESS_IDLE)
    with contextlib.suppress(ImportError):  # of a broken one, too
        importlib.import_module("engine.models.hf").warm_up()


def _look_up(question: Question, tell: Callable[[str], None]) -> object:
    match question:
        case AskCatalogue():
            from engine import models

            return models.catalogue()
        case AskDescribe():
            from engine import models

            return models.describe(
                question.name,
                question.weights,
                question.classes,
                question.task,
                question.pooling,
            )
        case AskDevice():
            return _devices()
        case AskBaseline(config=config):
            from engine import baseline

            return baseline.fit(config)
        case AskCost():
            from engine.cost.estimate import cost

            return cost(question)
        case AskData() | AskSamples() | AskScan():
            from engine import preview

            return preview.answer(question, tell)


def _devices() -> list[Device]:
    import torch

    from engine.device import cuda_count

    found = []
    for index in range(cuda_count()):
        properties = torch.cuda.get_device_properties(index)
        found.append(Device(f"cuda:{index}", properties.name, properties.total_memory))
    if torch.backends.mps.is_available():
        found.append(Device("mps", "Apple GPU"))
    return [*found, Device("cpu", "CPU")]


def protected_stdout() -> BinaryIO:
    """The real standard output; whatever a library prints goes to standard error from now on."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    main()
