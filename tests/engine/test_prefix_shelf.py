"""What a run has computed of its frozen beginning serves others, where it is the very same."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.contract import events as e
from engine.prefix import shelf
from engine.prefix.shelf import Shelf
from tests.engine.sessions import TrainTensors, of, pictures, run, same, session, tensors, tiny_net
from tests.engine.test_prefix import BODY, HEAD, asked, even

pytestmark = pytest.mark.usefixtures("one_thread", "unhindered")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(shelf.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def trained(
    folder: Path, data: TrainTensors | None = None, body: bool = False, cache: str = "auto"
) -> tuple[int, dict[str, Tensor]]:
    """How many training samples were known already, and what the weights came to."""
    folder.mkdir()
    torch.manual_seed(0)
    made = session(folder, asked(cache, BODY if body else HEAD), tiny_net(), data or even())
    told = [x for x in of(e.PrefixCached, run(made)) if x.data == "training"]  # type: ignore[attr-defined]
    return told[0].reused, tensors(made.module)  # type: ignore[attr-defined]


def test_a_run_like_another_computes_nothing_and_comes_to_the_same(tmp_path: Path) -> None:
    (none, first), (all_of_it, second) = trained(tmp_path / "1"), trained(tmp_path / "2")
    assert (none, all_of_it) == (0, 16)
    assert same(first, second)


def test_views_of_what_does_not_change_are_the_same_samples(tmp_path: Path) -> None:
    (_, first), (known, second) = trained(tmp_path / "1"), trained(tmp_path / "2", cache="views:4")
    assert known == 16
    assert same(first, second)


def test_what_is_not_the_same_is_computed(tmp_path: Path) -> None:
    trained(tmp_path / "1")
    images, labels = pictures(16)
    images[5] += 1
    changed = TrainTensors(images, labels, 4)
    assert trained(tmp_path / "one picture", changed)[0] == 12
    assert trained(tmp_path / "another plan", body=True)[0] == 0


@pytest.mark.parametrize("damaged", [lambda x: x[:-1], lambda x: x[:-1] + bytes([x[-1] ^ 1])])
def test_what_is_broken_is_computed_anew(
    tmp_path: Path, cache: Path, damaged: Callable[[bytes], bytes]
) -> None:
    _, first = trained(tmp_path / "1")
    for path in cache.rglob("*.safetensors"):
        path.write_bytes(damaged(path.read_bytes()))
    reused, second = trained(tmp_path / "2")
    assert reused == 0
    assert same(first, second)


def test_the_longest_unused_makes_room(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "_LIMIT", 2000)
    rows = {"@a": torch.zeros(200)}
    for key in (b"a", b"b"):
        Shelf(key).put("1", rows)
    for age, key in enumerate((b"b", b"a")):
        os.utime(cache / "prefix" / key.hex(), (age, age))
    full = Shelf(b"c")
    full.put("1", rows)
    assert {path.name for path in (cache / "prefix").iterdir()} == {b"a".hex(), b"c".hex()}
    assert full.get("1")
    full.put("2", {"@a": torch.zeros(2000)})
    assert full.get("2") is None


@pytest.mark.parametrize("folder", ["off", "/dev/null/nowhere"])
def test_without_a_place_nothing_is_kept(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(shelf.VARIABLE, folder)
    there = Shelf(b"a")
    there.put("1", {"@a": torch.zeros(1)})
    assert there.get("1") is None


def test_a_folder_that_cant_be_used_is_told_once(tmp_path: Path, cache: Path) -> None:
    cache.write_text("no folder")
    (folder := tmp_path / "run").mkdir()
    events = run(session(folder, asked("auto", HEAD), tiny_net(), even()))
    told = [x.message for x in of(e.Warned, events)]  # type: ignore[attr-defined]
    assert told == [
        f"What is frozen can't be kept for other runs: {cache / 'prefix'} can't be used (Not a "
        "directory). FTUI_CACHE names another folder, or is off."
    ]
    assert len([x for x in of(e.PrefixCached, events) if x.cut]) == 2  # type: ignore[attr-defined]
