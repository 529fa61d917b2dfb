"""A helper that answers without torch, and dies or complains where a model's name says so."""

import os
import sys
import time
from pathlib import Path

import msgspec

from engine.contract.catalogue import Catalogue, CatalogueEntry
from engine.contract.inspection import (
    Answer,
    AskBaseline,
    AskCatalogue,
    AskData,
    AskDescribe,
    AskDevice,
    Device,
    Overview,
    Question,
    TextBaseline,
)
from engine.contract.preprocessing import Preprocessing
from engine.contract.tree import ModelInfo, ModuleInfo

DIED = Path(os.environ["DIED"])


def say(said: Answer) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
    sys.stdout.buffer.flush()


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def answer(question: Question) -> object:
    match question:
        case AskCatalogue():
            return Catalogue([CatalogueEntry(f"pid/{os.getpid()}")])
        case AskDevice():
            return [Device("cpu", "CPU")]
        case AskBaseline(config=config):
            if config.data.path == "dies":
                DIED.write_text(f"{DIED.read_text()}again" if DIED.exists() else "once")
                os.abort()
            place = Path(config.data.path)
            (place / "asked").write_text(str(os.getpid()))
            wait_for(place / "go")
            return TextBaseline("a", {}, {"accuracy": 1.0}, 1, 1, 0.0)
        case AskData(id=number, config=config):
            say(Answer(number, doing=f"reading 1 of 2 in pid/{os.getpid()}"))
            wait_for(Path(config.data.path) / "go")
            return Overview(
                classes=[],
                train_counts=[],
                val_counts=[],
                train=3,
                val=1,
                held_out=True,
                baseline=None,
                skipped=0,
                first_skipped=[],
                remarks=[],
            )
        case AskDescribe(name="test/dies-once") if not DIED.exists():
            DIED.touch()
            os.abort()
        case AskDescribe(name="test/dies"):
            print("Cannot \x1b[1mallocate\x1b[0m.", file=sys.stderr, flush=True)
            os.abort()
        case AskDescribe(name="test/huge", weights=weights):
            modules = [ModuleInfo(f"m{n}", "Linear") for n in range(20_000)]
            return ModelInfo(weights, modules, [], Preprocessing())
        case AskDescribe(name="test/gpu-order"):
            return ModelInfo(os.environ["CUDA_DEVICE_ORDER"], [], [], Preprocessing())
        case AskDescribe(name=name):
            return ModelInfo(name, [], [], Preprocessing())


for line in sys.stdin.buffer:
    question = msgspec.json.decode(line, type=Question)
    if isinstance(question, AskDescribe) and question.name == "test/unknown":
        said = Answer(question.id, error="There is no model test/unknown.")
    else:
        said = Answer(question.id, msgspec.Raw(msgspec.json.encode(answer(question))))
    say(said)
