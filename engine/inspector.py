"""`python -m engine.inspector`: answers what needs torch, for a process that must not import it.

Reads questions from standard input, one JSON object a line, and writes answers to standard
output in the same order (`engine.contract.inspection`). Ends when its input does.
"""

import contextlib
import importlib
import os
import sys
import traceback
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

_NICENESS = 10  # training beside it loses little, and who looks at data is answered soon


def main() -> None:
    os.nice(_NICENESS)
    answers = _protected_stdout()
    with contextlib.suppress(ImportError):  # whose sentence the first answer gives
        importlib.import_module("engine.models")  # seconds, begun before anything is asked
    with contextlib.suppress(BrokenPipeError):  # the asker is gone
        for line in sys.stdin.buffer:
            answers.write(msgspec.json.encode(answer(line)) + b"\n")
            answers.flush()
    os._exit(0)  # torch's own teardown takes a second


def answer(line: bytes) -> Answer:
    """The answer to one line; a defect of ours becomes an error too, its traceback on stderr."""
    asked = 0
    try:
        asked = msgspec.json.decode(line, type=Asked).id
        question: Question = msgspec.json.decode(line, type=Question)
        return Answer(asked, msgspec.Raw(msgspec.json.encode(_look_up(question))))
    except msgspec.MsgspecError as error:
        return Answer(asked, error=f"The inspector does not understand the question: {error}.")
    except UserError as error:
        return Answer(asked, error=str(error))
    except Exception as error:  # the process outlives one bad model
        traceback.print_exc()
        kind = type(error).__name__
        return Answer(asked, error=f"The inspector failed ({kind}: {plain(error, 200)}).")


def _look_up(question: Question) -> object:
    match question:
        case AskCatalogue():
            from engine import models

            return models.catalogue()
        case AskDescribe(name=name, weights=weights, classes=classes, task=task):
            from engine import models

            return models.describe(name, weights, classes, task)
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

            return preview.answer(question)


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


def _protected_stdout() -> BinaryIO:
    """The real standard output; whatever a library prints goes to standard error from now on."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    main()
