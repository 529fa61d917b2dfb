"""Rows by the numbers of their samples, in memory or in a file."""

from pathlib import Path

import pytest
import torch

from engine import memory
from engine.prefix.store import NoRoom, Store


def numbered(*numbers: int, length: int = 3) -> dict[str, torch.Tensor]:
    rows = torch.tensor(numbers, dtype=torch.float32)[:, None, None].expand(-1, length, 2)
    return {"rows": rows, "labels": torch.tensor(numbers)}


@pytest.mark.parametrize("room", [2**30, 0])
def test_rows_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    monkeypatch.setattr(memory, "free", lambda: room)
    store = Store(10, tmp_path)
    store.put([4, 1], numbered(4, 1))
    store.put([9], numbered(9))
    assert store.known([0, 1, 9]) == [1, 9]
    found = store.rows([9, 4], {})
    assert torch.equal(found["rows"], numbered(9, 4)["rows"])
    assert found["labels"].tolist() == [9, 4]
    assert (len(store), store.size, store.on_disk) == (3, 10 * (3 * 2 * 4 + 8), not room)
    assert not list(tmp_path.iterdir()), "the file goes with the process"


def test_texts_of_any_length(tmp_path: Path) -> None:
    store = Store(4, tmp_path)
    store.put([0], numbered(1, length=2))
    store.put([1], numbered(2, length=5))
    store.put([2], numbered(3, length=3))
    rows = store.rows([0, 1, 2], {"rows": (4, 2)})["rows"]
    assert rows[..., 0].tolist() == [[1, 1, 0, 0], [2, 2, 2, 2], [3, 3, 3, 0]]


def test_a_length_on_any_axis(tmp_path: Path) -> None:
    store = Store(4, tmp_path)
    for number, length in enumerate((2, 5, 3)):
        store.put([number], {"masks": torch.full((1, 2, length, length), number + 1)})
    rows = store.rows([0, 1, 2], {"masks": (2, 4, 4)})["masks"]
    assert rows.shape == (3, 2, 4, 4)
    assert rows[:, 0].diagonal(dim1=1, dim2=2).tolist() == [[1, 1, 0, 0], [2] * 4, [3, 3, 3, 0]]


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free", lambda: 0)
    monkeypatch.setattr("engine.prefix.store._PART", 1e-15)
    with pytest.raises(NoRoom, match=r"it takes 0\.0 GiB, which neither memory nor the disk"):
        Store(10, tmp_path).put([1], numbered(1))


def test_a_column_writes_to_its_memory_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would still count as free when the next one asks."""
    monkeypatch.setattr(torch, "empty", torch.ones)
    store = Store(10, tmp_path)
    store.put([1], numbered(1))
    assert not any(rows.any() for rows in store.rows([0, 5], {}).values())
