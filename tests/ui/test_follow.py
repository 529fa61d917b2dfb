"""A run watched without the app: whose words count, whom Ctrl+C reaches, and the summary."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.contract import events as e
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.errors import UserError
from engine.contract.state import RunState
from engine.runs import lock
from engine.runs.client import Run
from engine.runs.journal import Journal
from ftui.cli import follow
from ftui.cli.options import CommandError

CONFIG = Config("image-classification", ModelConfig("torchvision/resnet18"), DataConfig("pets"))
TRAINING = e.TrainingStarted(
    step=0,
    epoch=1,
    epochs=2,
    steps_per_epoch=10,
    lr=0.1,
    device="cpu",
    device_name="",
    precision="fp32",
    threads=1,
)


def started(pid: int) -> e.RunStarted:
    return e.RunStarted(pid=pid, host=socket.gethostname(), versions={}, config=CONFIG)


def resumed(pid: int, host: str = "") -> e.RunResumed:
    host = host or socket.gethostname()
    return e.RunResumed(from_step=0, pid=pid, host=host, versions={}, config=CONFIG)


class Relaunched:
    """A run that stopped, and that the next worker has just taken without a word."""

    def __init__(self, folder: Path, first: int) -> None:
        self.journal = Journal(folder)
        self.tell(started(first), TRAINING, e.RunStopped(step=7, by="command"))
        self._held = lock.take(folder)
        self.run = Run(folder, lives=1)

    def tell(self, *events: e.Event) -> None:
        for event in events:
            self.journal.append(event)

    def end(self, *events: e.Event) -> None:
        self.tell(*events)
        os.close(self._held)


Process = subprocess.Popen[bytes]
Watch = Callable[[Run], Awaitable[None]]


@pytest.fixture
def process() -> Iterator[Callable[[], Process]]:
    """Starts processes that do nothing, and ends those that nobody has ended."""
    begun: list[Process] = []

    def start() -> Process:
        begun.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
        return begun[-1]

    yield start
    for one in begun:
        one.kill()
        one.wait()


async def caught_up(run: Run) -> None:
    while not run.caught_up:
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("watch", [follow.until_training, follow.until_end])
async def test_only_the_launched_worker_is_judged(
    tmp_path: Path, watch: Watch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = Relaunched(tmp_path, first=1)
    one.end(resumed(2), e.RunFailed(step=7, error="No checkpoint is intact.", by_user=True))
    with pytest.raises(UserError, match=r"^No checkpoint is intact.$"):
        await watch(one.run)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("watch", [follow.until_training, follow.until_end])
async def test_a_worker_that_dies_without_a_word_is_told(tmp_path: Path, watch: Watch) -> None:
    one = Relaunched(tmp_path, first=1)
    (tmp_path / "worker.log").write_text("ImportError: no torch\n")
    one.end()
    with pytest.raises(
        CommandError, match=r"before its first word \(ImportError: no torch\)"
    ) as caught:
        await watch(one.run)
    assert caught.value.code == 1


async def test_ctrl_c_waits_for_the_launched_worker(
    tmp_path: Path, process: Callable[[], Process]
) -> None:
    earlier, worker = process(), process()
    one = Relaunched(tmp_path, earlier.pid)
    watching = asyncio.create_task(follow.until_end(one.run))
    await caught_up(one.run)
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(0.1)
    one.tell(resumed(worker.pid))
    assert await asyncio.to_thread(worker.wait) == -signal.SIGTERM
    assert earlier.poll() is None
    os.kill(os.getpid(), signal.SIGINT)  # the worker is gone: not a traceback
    await asyncio.sleep(0.1)
    one.end(e.RunStopped(step=7, by="SIGTERM"))
    with pytest.raises(CommandError, match="stopped by SIGTERM") as caught:
        await watching
    assert caught.value.code == 130


async def test_ctrl_c_reaches_no_process_of_another_host(
    tmp_path: Path, process: Callable[[], Process]
) -> None:
    bystander = process()
    one = Relaunched(tmp_path, first=1)
    one.tell(resumed(bystander.pid, host="elsewhere"))
    watching = asyncio.create_task(follow.until_end(one.run))
    await caught_up(one.run)
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(0.1)
    assert bystander.poll() is None
    one.end(e.RunStopped(step=7, by="command"))
    with pytest.raises(CommandError):
        await watching


def test_the_summary_tells_one_evaluation() -> None:
    state = RunState()
    for event in (started(1), TRAINING, evaluated(1, loss=0.9, top1=0.8), evaluated(2, 0.7, 0.6)):
        state.apply(event)
    said = next(line for line in follow.summary(Path("run"), state, "crashed") if "top-1" in line)
    assert said == "validation top-1 80.0 % (best so far, epoch 1), loss 0.9"


@pytest.mark.parametrize(
    ("of_it", "figures"),
    [
        ({"weights": "best, epoch 2"}, "validation top-1 60.0 %, loss 0.7"),
        (
            {"weights": "best, epoch 2, moving average", "averaged": True},
            "validation top-1 90.0 %, loss 0.6",
        ),
        (
            {"weights": "best, epoch 2, WiSE-FT 0.7", "alpha": 0.7},
            "validation top-1 75.0 %, loss 0.5",
        ),
    ],
)
def test_the_summary_tells_the_finished_model(of_it: dict[str, Any], figures: str) -> None:
    """Neither the best accuracy, which epoch 1 had, nor that of the last epoch."""
    state = RunState()
    averaged = msgspec.structs.replace(evaluated(2, loss=0.6, top1=0.9), weights="ema")
    blend = e.InterpolationEvaluated(step=20, alpha=0.7, loss=0.5, figures={"top1": 0.75})
    saved = e.ModelSaved(step=20, path="model.safetensors", size=1, **of_it)
    others = evaluated(1, 0.9, 0.8), evaluated(2, 0.7, 0.6), averaged, evaluated(3, 0.8, 0.7)
    for event in (started(1), TRAINING, *others, blend, saved, e.RunFinished(step=30)):
        state.apply(event)
    said = [line for line in follow.summary(Path("run"), state, "finished") if "top-1" in line]
    assert said == [f"model.safetensors has the weights: {of_it['weights']}: {figures}"]


def evaluated(epoch: int, loss: float, top1: float) -> e.Evaluated:
    return e.Evaluated(
        step=10 * epoch,
        epoch=epoch,
        reason="epoch",
        loss=loss,
        figures={"top1": top1},
        samples=10,
        seconds=1.0,
    )


def test_generated_texts_are_told_on_a_line_that_can_not_steer_the_terminal() -> None:
    said = e.TextGenerated(step=5, epoch=1, prompt="the\ncat", text="sat\x1b[2J on\n[b]it[/b]")
    assert follow.said_line(said) == "text: the cat | sat on [b]it[/b]"
