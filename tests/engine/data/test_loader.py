"""Batches: every picture once, the same for any number of processes, from any position on."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import accumulate, cycle
from pathlib import Path

import psutil
import pytest
import torch

from engine.contract.config import DataConfig
from engine.contract.errors import UserError
from engine.contract.preprocessing import Preprocessing
from engine.contract.training_tables import Sampling
from engine.data import (
    Batch,
    DataIndex,
    Feeding,
    Sample,
    TrainLoader,
    ValLoader,
    index_folder,
    most_workers,
)
from engine.data.pictures import LabelledPictures
from engine.data.workers import workers_for
from tests.engine.data.pictures import class_folders, cut

PRE = Preprocessing(image_size=16, resize_size=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("data") / "a", {"cat": 13, "dog": 16, "eel": 7})


@pytest.fixture(scope="module")
def data(folder: Path) -> DataIndex:
    return index_folder(config(folder), lambda stage: None)


def config(folder: Path, **keys: object) -> DataConfig:
    return DataConfig(path=str(folder), **{"batch_size": 4, **keys})  # type: ignore[arg-type]


def train_loader(
    folder: Path,
    data: DataIndex,
    workers: int = 0,
    seed: int = 3,
    sampling: Sampling = "natural",
    **keys: object,
) -> TrainLoader:
    samples = LabelledPictures(data.train, PRE, seed)
    return TrainLoader(samples, config(folder, **keys), seed, Feeding(workers), sampling)


def val_loader(folder: Path, samples: list[Sample], workers: int = 0, size: int = 4) -> ValLoader:
    asked = config(folder, batch_size=size)
    return ValLoader(LabelledPictures(samples, PRE, 0), asked, Feeding(workers))


def same(first: Iterator[Batch] | list[Batch], second: Iterator[Batch] | list[Batch]) -> bool:
    first, second = list(first), list(second)
    return len(first) == len(second) and all(
        torch.equal(a.inputs, b.inputs) and torch.equal(a.targets, b.targets)
        for a, b in zip(first, second, strict=True)
    )


def open_files(pid: int) -> set[Path]:
    """What a process has open; some of it may be closed while this looks."""
    found = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(fd.readlink())
    return found


class TestEpochs:
    def test_every_picture_once_with_its_label(self, folder: Path, data: DataIndex) -> None:
        loader = train_loader(folder, data, augment="none")
        batches = list(loader.epoch(1))
        assert len(batches) == len(loader)
        assert [len(b.targets) for b in batches[:-1]] == [4] * (len(loader) - 1)
        shown = {
            (batch.inputs[i].numpy().tobytes(), int(batch.targets[i]))
            for batch in batches
            for i in range(len(batch.targets))
        }
        plain = val_loader(folder, data.train)
        in_order = [
            (batch.inputs[i].numpy().tobytes(), int(batch.targets[i]))
            for batch in plain
            for i in range(len(batch.targets))
        ]
        assert shown == set(in_order)
        assert len(in_order) == len(data.train) == len(set(in_order))
        assert [label for _, label in in_order] == [sample.label for sample in data.train]
        assert batches[0].inputs.dtype == torch.uint8
        assert batches[0].inputs.shape == (4, 3, 16, 16)
        assert batches[0].targets.dtype == torch.int64

    def test_order_and_augmentation_change_with_seed_and_epoch(
        self, folder: Path, data: DataIndex
    ) -> None:
        loader = train_loader(folder, data)
        assert same(loader.epoch(1), train_loader(folder, data).epoch(1))
        assert not same(loader.epoch(1), loader.epoch(2))
        assert not same(loader.epoch(1), train_loader(folder, data, seed=4).epoch(1))
        label_counts = [Counter(int(x) for b in loader.epoch(n) for x in b.targets) for n in (1, 2)]
        assert label_counts[0] == label_counts[1]

    @pytest.mark.parametrize("sampling", ["natural", "balanced"])
    @pytest.mark.parametrize("skip", [0, 1, 5, 8])
    def test_any_position_is_reached_without_what_came_before(
        self, folder: Path, data: DataIndex, skip: int, sampling: Sampling
    ) -> None:
        loader = train_loader(folder, data, augment="trivial", sampling=sampling)
        assert same(list(loader.epoch(2))[skip:], loader.epoch(2, skip))

    @pytest.mark.parametrize(
        ("pictures", "size", "expected"),
        [
            (9, 4, [4, 5]),  # one left over joins the batch before it
            (10, 4, [4, 4, 2]),
            (8, 4, [4, 4]),
            (3, 4, [3]),
            (1, 4, [1]),
            (5, 4, [5]),
            (3, 1, [1, 1, 1]),
            (0, 4, []),
        ],
    )
    def test_sizes(
        self, folder: Path, data: DataIndex, pictures: int, size: int, expected: list[int]
    ) -> None:
        loader = TrainLoader(
            LabelledPictures(data.train[:pictures], PRE, 0),
            config(folder, batch_size=size),
            0,
            Feeding(),
        )
        assert [len(batch.targets) for batch in loader.epoch(1)] == expected
        assert len(loader) == len(expected)
        val = val_loader(folder, data.train[:pictures], size=size)
        assert len(list(val)) == len(val) == -(-pictures // size)

    def test_balanced_sampling_augments_a_picture_anew_each_time(
        self, folder: Path, data: DataIndex
    ) -> None:
        loader = train_loader(folder, data, sampling="balanced")
        shown = [image.numpy().tobytes() for batch in loader.epoch(1) for image in batch.inputs]
        assert len(set(shown)) == len(shown) == len(data.train)
        plain = train_loader(folder, data, augment="none", sampling="balanced")
        assert len({i.numpy().tobytes() for b in plain.epoch(1) for i in b.inputs}) < len(shown)
        counts = Counter(int(x) for n in range(40) for b in plain.epoch(n) for x in b.targets)
        assert all(0.28 < counts[label] / counts.total() < 0.39 for label in range(3))

    @pytest.mark.parametrize("workers", [0, 2])
    def test_another_augmentation_is_for_epochs_that_are_opened_after_it(
        self, folder: Path, data: DataIndex, workers: int
    ) -> None:
        """The one under way goes on as it began; opened again, it is as if it had begun so."""
        before = train_loader(folder, data)
        after = train_loader(folder, data, augment="trivial", augment_strength=0.5)
        assert not same(before.epoch(1), after.epoch(1))
        with closing(train_loader(folder, data, workers)) as loader:
            under_way = loader.epoch(1)
            shown = [next(under_way)]
            loader.set_augmentation("trivial", 0.5)
            shown += under_way
            assert same(shown, before.epoch(1))
            assert same(loader.epoch(1, 3), after.epoch(1, 3))
            loader.set_augmentation("standard", 1.0)
            assert same(loader.epoch(2), before.epoch(2))

    def test_the_global_generator_is_left_alone(self, folder: Path, data: DataIndex) -> None:
        before = torch.get_rng_state()
        for workers in (0, 1):
            with closing(train_loader(folder, data, workers)) as loader:
                list(loader.epoch(1))
        assert torch.equal(torch.get_rng_state(), before)


class TestWorkers:
    def test_their_number_changes_nothing(self, folder: Path, data: DataIndex) -> None:
        alone = train_loader(folder, data, augment="trivial")
        with closing(train_loader(folder, data, 2, augment="trivial")) as shared:
            assert same(alone.epoch(1), shared.epoch(1))
            next(shared.epoch(2))  # left in the middle
            assert same(alone.epoch(3, 2), shared.epoch(3, 2))
            assert same(alone.epoch(2), shared.epoch(2))
        with closing(val_loader(folder, data.val, 2)) as val:
            assert same(val, val_loader(folder, data.val))
            assert same(val, val_loader(folder, data.val))

    @pytest.mark.skipif(sys.platform != "linux", reason="/proc")
    def test_they_close_what_is_not_theirs(
        self, folder: Path, data: DataIndex, tmp_path: Path
    ) -> None:
        lock = tmp_path / "run.lock"
        with lock.open("w") as held:
            loader = TrainLoader(
                LabelledPictures(data.train, PRE, 0),
                config(folder),
                0,
                Feeding(1, close_fds=[held.fileno()]),
            )
            with closing(loader):
                next(loader.epoch(1))
                (reader,) = readers(loader)
                assert lock not in open_files(reader)
            assert not held.closed

    def test_a_signal_to_the_whole_group_stops_no_reader(
        self, folder: Path, data: DataIndex
    ) -> None:
        with closing(train_loader(folder, data, 2)) as loader:
            epoch = loader.epoch(1)
            seen = [next(epoch)]
            for pid in readers(loader):
                os.kill(pid, signal.SIGTERM)
                os.kill(pid, signal.SIGINT)
            seen += epoch
            assert same(seen, train_loader(folder, data).epoch(1))

    def test_a_dead_reader_is_a_sentence(self, folder: Path, data: DataIndex) -> None:
        with closing(train_loader(folder, data, 1)) as loader:
            epoch = loader.epoch(1)
            next(epoch)
            os.kill(readers(loader)[0], signal.SIGKILL)
            with pytest.raises(UserError, match=r"set data\.workers lower, or to 0"):
                list(epoch)

    def test_an_exit_in_the_middle_does_not_hang(self, folder: Path) -> None:
        script = (
            "import sys; from tests.engine.data.test_loader import *\n"
            "folder = Path(sys.argv[1]); data = index_folder(config(folder), lambda stage: None)\n"
            "loader = train_loader(folder, data, 2); epoch = loader.epoch(1); next(epoch)\n"
            "print(*readers(loader)); raise SystemExit(3)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, folder],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        assert done.returncode == 3
        assert not any(psutil.pid_exists(int(pid)) for pid in done.stdout.split())

    def test_as_many_as_it_takes_on_the_cores_that_are_left(self) -> None:
        assert most_workers("cpu", threads=4096) == 0
        assert 1 <= most_workers("cuda", threads=4096) <= 8
        assert [workers_for(0.3, using, 8) for using in (9.0, 0.31, 0.2, 0.1, 0.01, 0.0)] == [
            0,
            1,
            2,
            3,
            8,
            8,
        ]

    @pytest.mark.parametrize(("reading", "expected"), [(3.0, 2), (0.05, 0)])
    def test_they_come_where_training_waits_and_change_nothing(
        self,
        folder: Path,
        data: DataIndex,
        monkeypatch: pytest.MonkeyPatch,
        reading: float,
        expected: int,
    ) -> None:
        """By a clock of which a batch takes so much to read, and 2 to train on."""
        clock = accumulate(cycle([0.0, reading, 2.0]))
        monkeypatch.setattr("engine.data.loader.perf_counter", lambda: next(clock))
        feeding = Feeding(up_to=4)
        loader = TrainLoader(LabelledPictures(data.train, PRE, 3), config(folder), 3, feeding)
        with closing(loader):
            assert same(loader.epoch(1), train_loader(folder, data).epoch(1))
            assert (len(readers(loader)) if loader._reader._pool else 0) == expected
            assert same(loader.epoch(2, 3), train_loader(folder, data).epoch(2, 3))


def readers(loader: TrainLoader) -> list[int]:
    assert loader._reader._pool is not None
    return [process.pid for process in loader._reader._pool._iterator._workers]


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_pictures_are_dropped_and_named_once(tmp_path: Path, workers: int) -> None:
    root = class_folders(tmp_path / "a", {"cat": 10, "dog": 10})
    for name in ("cat/0.png", "cat/3.png", "dog/5.png"):
        cut(root / name, 0.6)
    data = index_folder(config(root), lambda stage: None)
    assert data.skipped == []
    train = train_loader(root, data, workers, seed=0)
    val = val_loader(root, data.val, workers)
    with closing(train), closing(val):
        first = list(train.epoch(1)) + list(val)
        again = list(train.epoch(2)) + list(val)
    skipped = [file for batch in first for file in batch.skipped]
    assert sorted(file.path for file in skipped) == [
        f"{root}/{name}" for name in ("cat/0.png", "cat/3.png", "dog/5.png")
    ]
    assert {file.reason for file in skipped} == {"cut short: the file ends before the picture does"}
    assert [file for batch in again for file in batch.skipped] == []
    for batches in (first, again):
        assert sum(len(batch.targets) for batch in batches) == 17
        assert all(len(batch.targets) == len(batch.inputs) for batch in batches)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_of_nothing_but_broken_pictures(tmp_path: Path, workers: int) -> None:
    root = class_folders(tmp_path / "a", {"cat": 3, "dog": 3})
    data = index_folder(config(root), lambda stage: None)
    for path in root.rglob("*.png"):
        cut(path, 0.6)
    with closing(train_loader(root, data, workers, seed=0)) as loader:
        (batch,) = loader.epoch(1)
    assert batch.inputs.shape == (0, 3, 16, 16)
    assert batch.targets.shape == (0,)
    assert len(batch.skipped) == 4
