"""The client of the helper process that knows torch."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.errors import UserError
from engine.contract.inspection import Device
from engine.runs import inspect
from engine.runs.inspect import Inspector


@pytest.fixture
async def inspector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inspector]:
    monkeypatch.setenv("DIED", str(tmp_path / "died"))
    inspector = Inspector(module="answers", cache=tmp_path / "cache" / "catalogue.json")
    yield inspector
    await inspector.close()


async def test_questions_are_answered(inspector: Inspector) -> None:
    await inspector.start()
    assert (await inspector.describe("test/a")).name == "test/a"
    assert await inspector.devices() == [Device("cpu", "CPU")]


async def test_it_starts_by_itself(inspector: Inspector) -> None:
    assert (await inspector.describe("test/a")).name == "test/a"


async def test_questions_asked_at_once_get_their_own_answers(inspector: Inspector) -> None:
    names = [f"test/{n}" for n in range(5)]
    assert [m.name for m in await asyncio.gather(*map(inspector.describe, names))] == names


async def test_an_answer_may_be_large(inspector: Inspector) -> None:
    assert len((await inspector.describe("test/huge")).modules) == 20_000


async def test_an_error_is_the_helpers_sentence(inspector: Inspector) -> None:
    with pytest.raises(UserError, match=r"^There is no model test/unknown.$"):
        await inspector.describe("test/unknown")


async def test_it_numbers_gpus_as_the_worker_does(
    inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    assert (await inspector.describe("test/gpu-order")).name == "PCI_BUS_ID"


async def test_a_dead_helper_is_started_again(inspector: Inspector) -> None:
    assert (await inspector.describe("test/dies-once")).name == "test/dies-once"


async def test_a_helper_that_keeps_dying_is_a_sentence(inspector: Inspector) -> None:
    with pytest.raises(UserError, match=r"^The helper process died: Cannot allocate.$"):
        await inspector.describe("test/dies")
    assert (await inspector.describe("test/a")).name == "test/a"


async def test_an_answer_nobody_waits_for_is_passed_over(inspector: Inspector) -> None:
    await inspector.start()
    waiting = asyncio.create_task(inspector.describe("test/huge"))
    while not inspector._models._asked:
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await inspector.describe("test/b")).name == "test/b"


async def test_the_catalogue_is_kept_on_disk(inspector: Inspector, tmp_path: Path) -> None:
    first = await inspector.catalogue()
    await inspector.close()
    assert await inspector.catalogue() == first  # a new helper would tell another pid


@pytest.mark.parametrize("change", ["version", "folder", "spoilt", "foreign"])
async def test_the_catalogue_is_asked_again_where_it_may_differ(
    inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    first = await inspector.catalogue()
    await inspector.close()
    if change == "version":
        monkeypatch.setattr(inspect, "_version", lambda _package: "99")
    elif change == "folder":
        monkeypatch.setenv("TORCH_HOME", "/elsewhere")
    else:
        text = '{"key": ' if change == "spoilt" else '{"other": 1}'
        (tmp_path / "cache" / "catalogue.json").write_text(text)
    assert await inspector.catalogue() != first


async def test_no_cache_no_harm(inspector: Inspector, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert (await inspector.catalogue()).entries


def _texts(path: object) -> Config:
    return Config("text-classification", ModelConfig("hf/a/b"), DataConfig(str(path)))


async def test_models_are_described_while_a_baseline_is_fitted(
    inspector: Inspector, tmp_path: Path
) -> None:
    fitting = asyncio.create_task(inspector.baseline(_texts(tmp_path)))
    while not (tmp_path / "asked").exists():
        await asyncio.sleep(0.01)
    assert (await inspector.describe("test/a")).name == "test/a"
    assert not fitting.done()
    (tmp_path / "go").touch()
    assert (await fitting).tfidf == {"accuracy": 1.0}


async def test_models_are_described_while_data_is_listed(
    inspector: Inspector, tmp_path: Path
) -> None:
    (warm,) = (await inspector.catalogue()).entries
    told: list[str] = []
    listing = asyncio.create_task(inspector.data(_texts(tmp_path), told.append))
    while not told:
        await asyncio.sleep(0.01)
    assert (await inspector.describe("test/a")).name == "test/a"
    assert told == [f"reading 1 of 2 in {warm.name}"]  # by the helper that was warm
    assert not listing.done()
    (tmp_path / "go").touch()
    assert (await listing).train == 3


async def test_a_listing_can_be_left(inspector: Inspector, tmp_path: Path) -> None:
    told: list[str] = []
    listing = asyncio.create_task(inspector.data(_texts(tmp_path), told.append))
    while not told:
        await asyncio.sleep(0.01)
    listing.cancel()
    await inspector.leave_data()
    (tmp_path / "go").touch()
    assert (await inspector.data(_texts(tmp_path), told.append)).train == 3
    assert len(set(told)) == 2  # by another process


async def test_close_ends_a_baselines_helper(inspector: Inspector, tmp_path: Path) -> None:
    fitting = asyncio.create_task(inspector.baseline(_texts(tmp_path)))
    while not (tmp_path / "asked").exists() or not (tmp_path / "asked").read_text():
        await asyncio.sleep(0.01)
    await inspector.close()
    with pytest.raises(UserError, match="died"):
        await fitting
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "asked").read_text()), 0)


async def test_a_fit_that_kills_its_helper_is_not_tried_again(inspector: Inspector) -> None:
    with pytest.raises(UserError, match="died"):
        await inspector.baseline(_texts("dies"))
    assert Path(os.environ["DIED"]).read_text() == "once"


async def test_close_ends_the_helper(inspector: Inspector) -> None:
    pid = int((await inspector.catalogue()).entries[0].name.removeprefix("pid/"))
    await inspector.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    await inspector.close()


@pytest.mark.slow
async def test_the_real_helper(tmp_path: Path) -> None:
    inspector = Inspector(cache=tmp_path / "catalogue.json")
    info = await inspector.describe("torchvision/resnet18", "none")
    assert info.total_parameters == 11_689_512
    await inspector.close()


def test_a_model_that_came_into_the_cache_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    before = inspect._catalogue_key()
    (tmp_path / "hub" / "models--org--new").mkdir(parents=True)
    assert inspect._catalogue_key() != before
