"""The inspector as its clients meet it: a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
import torch

from engine.contract.catalogue import Catalogue
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.inspection import (
    Answer,
    AskBaseline,
    AskCatalogue,
    AskData,
    AskDescribe,
    AskDevice,
    Device,
    Overview,
    TextBaseline,
)
from engine.contract.tree import ModelInfo
from tests.engine.data.pictures import class_folders

Process = subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def inspector() -> Iterator[Process]:
    command = [sys.executable, "-m", "engine.inspector"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process
        process.stdin.close()
        rest = process.stdout.read()
        assert process.wait() == 0
        assert rest == b""


def ask(process: Process, question: object) -> Answer:
    line = question if isinstance(question, bytes) else msgspec.json.encode(question)
    process.stdin.write(line + b"\n")
    process.stdin.flush()
    return msgspec.json.decode(process.stdout.readline(), type=Answer)


def test_it_answers_what_it_is_asked(inspector: Process) -> None:
    answer = ask(inspector, AskCatalogue(id=7))
    assert (answer.id, answer.error) == (7, "")
    entries = msgspec.json.decode(answer.result, type=Catalogue).entries
    assert "torchvision/resnet18" in {entry.name for entry in entries}

    answer = ask(inspector, AskDescribe(id=8, name="torchvision/resnet18", classes=7))
    info = msgspec.json.decode(answer.result, type=ModelInfo)
    assert (answer.id, info.head, info.total_parameters) == (8, ["fc"], 11_180_103)

    answer = ask(inspector, AskDevice(id=9))
    devices = msgspec.json.decode(answer.result, type=list[Device])
    assert [device.name for device in devices][-1] == "cpu"
    assert len([d for d in devices if d.name.startswith("cuda:")]) == torch.cuda.device_count()


def test_a_baseline(inspector: Process, tmp_path: Path) -> None:
    rows = [f"{word} {n},{word}" for n in range(9) for word in ("up", "down")]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows]))
    model, data = ModelConfig("hf/some/model"), DataConfig(str(tmp_path / "t.csv"))
    answer = ask(inspector, AskBaseline(id=5, config=Config("text-classification", model, data)))
    assert answer.error == ""
    assert msgspec.json.decode(answer.result, type=TextBaseline).tfidf["accuracy"] == 1.0


def test_it_says_how_far_a_listing_is(inspector: Process, tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 5, "b": 5})
    config = Config(
        "image-classification", ModelConfig("torchvision/resnet18"), DataConfig(str(tmp_path))
    )
    answers = [ask(inspector, AskData(id=6, config=config))]
    while answers[-1].doing:
        answers.append(msgspec.json.decode(inspector.stdout.readline(), type=Answer))
    assert {answer.id for answer in answers} == {6}
    assert answers[0].doing == f"listing the pictures of {tmp_path}"
    assert msgspec.json.decode(answers[-1].result, type=Overview).train == 8


def test_mistakes_are_sentences_and_it_goes_on(inspector: Process) -> None:
    answer = ask(inspector, AskDescribe(id=1, name="torchvision/resnet81"))
    assert answer.id == 1
    assert answer.result is msgspec.UNSET
    assert "did you mean" in answer.error
    assert "does not understand" in ask(inspector, b"no json").error
    answer = ask(inspector, b'{"id": 12, "ask": "weather"}')
    assert answer.id == 12
    assert "does not understand" in answer.error
    assert ask(inspector, AskDevice(id=2)).error == ""


def test_it_yields_to_training(inspector: Process) -> None:
    assert ask(inspector, AskDevice(id=3)).id == 3
    assert psutil.Process(inspector.pid).nice() == 5


def test_what_libraries_print_does_not_reach_the_answers() -> None:
    program = (
        "import os; from engine.inspector import protected_stdout as protect\n"
        "answers = protect(); print('stray', flush=True); os.system('echo stray too')\n"
        "answers.write(b'{}'); answers.flush()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"{}"
    assert done.stderr == b"stray\nstray too\n"
