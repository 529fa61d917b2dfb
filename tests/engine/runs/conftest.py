"""Configs, run folders, and worker processes that are ended after each test."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil
import pytest

from engine.contract import events as e
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.training_tables import TrainingConfig
from engine.runs import lock
from engine.runs.client import Run, start

WORKERS = Path(__file__).parent / "workers"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Of a run that goes on until it is stopped."""
    data = tmp_path / "Pets & co"
    data.mkdir()
    return Config(
        task="image-classification",
        model=ModelConfig(name="torchvision/resnet18", weights="none"),
        data=DataConfig(path=str(data)),
        training=TrainingConfig(epochs=2),
    )


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def short(config: Config) -> Config:
    """A run that finishes after its ten steps."""
    return msgspec.structs.replace(config, training=TrainingConfig(epochs=1))


@pytest.fixture
async def live(config: Config, runs: Path) -> Run:
    return await start(config, runs, module="speaker")


async def first_step(run: Run) -> None:
    async for event in run.events():
        if isinstance(event, e.StepsTrained):
            return


@pytest.fixture(autouse=True)
def _workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets the workers beside this file be launched, and leaves none of them behind."""
    monkeypatch.setenv("PYTHONPATH", str(WORKERS), prepend=os.pathsep)  # the rest may choose ftui
    yield
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or [""]
        if words[-1].startswith(str(tmp_path)):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for a condition, however long the machine takes."""
    while not condition():
        time.sleep(0.005)


async def eventually(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def wait_until_free(folder: Path) -> None:
    wait_until(lambda: not lock.look(folder).held)
