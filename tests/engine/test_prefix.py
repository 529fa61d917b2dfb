"""A run whose frozen beginning is computed once comes to what it would come to anyway."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from engine import evaluate
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.config import Config
from engine.contract.rules import Rule
from engine.contract.training_tables import RegularisationConfig, TrainingConfig
from engine.data.batch import Batch
from engine.data.loader import Key, TrainLoader
from engine.data.workers import Feeding
from engine.prefix import using
from engine.prefix.cut import NOTHING, Unfit
from engine.prefix.store import NoRoom
from tests.engine.sessions import (
    Batches,
    ToyWorker,
    TrainTensors,
    batches,
    config,
    of,
    pictures,
    run,
    same,
    session,
    tensors,
)

pytestmark = pytest.mark.usefixtures("one_thread", "unhindered")
HEAD = [Rule("*", train=False), Rule("head")]
BODY = [*HEAD, Rule("body")]


def asked(cache: str, rules: list[Rule], epochs: int = 3) -> Config:
    training = TrainingConfig(epochs=epochs, threads=1, cache=cache)  # type: ignore[arg-type]
    return config(trainable=rules, training=training)


def even() -> TrainTensors:
    """16 pictures in batches of 4: the size of a batch moves the last bit of what kernels give."""
    return TrainTensors(*pictures(16), 4)


@pytest.mark.parametrize("rules", [HEAD, BODY])
@pytest.mark.parametrize(
    "script",
    [
        [],
        [(3, c.Thaw(id="1", pattern="body"))],
        [(3, c.Thaw(id="1", pattern="*"))],
        [(2, c.Thaw(id="1", pattern="*")), (6, c.Freeze(id="2", pattern="stem"))],
        [(5, c.SetOption(id="1", key="data.augment_strength", value="0.5"))],
        [(6, c.Rewind(id="1", step=4))],
    ],
)
def test_the_same_losses_and_weights(
    tmp_path: Path, rules: list[Rule], script: list[tuple[int, c.AnyCommand]]
) -> None:
    came_to = []
    for cache in ("off", "auto"):
        folder = tmp_path / cache
        folder.mkdir()
        made = session(folder, asked(cache, rules), data=even())
        events = run(made, script)
        told = [x.data for x in of(e.PrefixCached, events) if x.cut]  # type: ignore[attr-defined]
        assert told[:1] == (["training"] if cache == "auto" else [])
        losses = [x.loss for x in of(e.StepsTrained, events)]  # type: ignore[attr-defined]
        judged = [x.loss for x in of(e.Evaluated, events)]  # type: ignore[attr-defined]
        came_to.append((losses, judged, tensors(made.module)))
    (*plain, weights), (*cached, others) = came_to
    assert plain == cached
    assert same(weights, others)


@dataclass
class Counting:
    """Counts how many samples go through a module."""

    samples: int = 0

    def __call__(self, _: nn.Module, args: tuple[Tensor, ...], __: Tensor) -> None:
        self.samples += len(args[0])


def test_each_sample_goes_through_what_is_frozen_once(tmp_path: Path) -> None:
    counted = []
    for number, (epochs, sizes) in enumerate(((2, [4, 3]), (9, [4, 3]), (2, [4, 3, 4, 4]))):
        folder = tmp_path / str(number)
        folder.mkdir()
        made = session(folder, asked("auto", HEAD, epochs), data=even(), val_data=batches(*sizes))
        counting = Counting()
        made.module.get_submodule("stem.0").register_forward_hook(counting)
        events = run(made)
        counted.append(counting.samples)
    assert counted[0] == counted[1] == counted[2] - 8
    training, validation = (
        next(x for x in of(e.PrefixCached, events) if x.data == data)  # type: ignore[attr-defined]
        for data in ("training", "validation")
    )
    assert (training.cut, training.samples, training.on_disk) == ("after pool.1", 16, False)
    assert training.size == 16 * (4 * 4 + 8)
    assert (validation.cut, validation.samples) == ("after pool", 15)


def test_another_augmentation_is_of_the_training_data_alone(tmp_path: Path) -> None:
    counted = []
    for script in ([], [(5, c.SetOption(id="1", key="data.augment_strength", value="0.5"))]):
        folder = tmp_path / str(len(script))
        folder.mkdir()
        made = session(folder, asked("auto", HEAD), data=even(), val_data=batches(100))
        counting = Counting()
        made.module.get_submodule("stem.0").register_forward_hook(counting)
        run(made, script)
        counted.append(counting.samples)
    assert 16 <= counted[1] - counted[0] < 100


def test_batches_that_are_not_whole_come_close(tmp_path: Path) -> None:
    """18 pictures in batches of 4."""
    losses = []
    for cache in ("off", "auto"):
        folder = tmp_path / cache
        folder.mkdir()
        events = run(session(folder, asked(cache, HEAD)))
        losses.append([x for told in of(e.StepsTrained, events) for x in told.loss])  # type: ignore[attr-defined]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("at", [1, 4, 7, 9])
def test_a_resumed_run_comes_to_the_same(tmp_path: Path, at: int) -> None:
    ends = []
    for name, steps in (("whole", None), ("killed", at)):
        folder = tmp_path / name
        folder.mkdir()
        worker = ToyWorker(folder, asked("auto", HEAD))
        if not worker.live(steps=steps):
            assert worker.live()
        ends.append(tensors(worker.session.module))
    assert same(*ends)


@pytest.mark.parametrize(
    ("why", "tables"),
    [
        ("training samples are mixed", {"regularisation": RegularisationConfig(mixup=0.2)}),
        (
            "chance changes each sample (data.augment=standard); "
            'training.cache="views:4" would keep four views of each',
            {},
        ),
        (
            "training.cache is off",
            {"training": TrainingConfig(epochs=3, threads=1, cache="off")},
        ),
    ],
)
def test_it_says_why_training_samples_are_not_remembered(
    tmp_path: Path, why: str, tables: dict[str, Any]
) -> None:
    data = even()
    data.varies = not tables
    made = session(tmp_path, replace(asked("auto", HEAD), **tables), data=data)
    told = of(e.PrefixCached, run(made))
    validation = [] if "off" in why else [("validation", "")]
    assert [(x.data, x.why) for x in told] == [("training", why), *validation]  # type: ignore[attr-defined]


def test_full_fine_tuning_says_nothing(tmp_path: Path) -> None:
    assert not of(e.PrefixCached, run(session(tmp_path, asked("auto", [Rule("*")]))))


def test_averaged_weights_are_not_judged_by_what_the_others_gave(tmp_path: Path) -> None:
    """The body has trained before it was frozen, so that its average differs."""
    judged = []
    for cache in ("off", "auto"):
        folder = tmp_path / cache
        folder.mkdir()
        wanted = replace(asked(cache, BODY), regularisation=RegularisationConfig(ema=0.9))
        events = run(session(folder, wanted), [(4, c.Freeze(id="1", pattern="body"))])
        judged.append([(x.weights, x.loss) for x in of(e.Evaluated, events)])  # type: ignore[attr-defined]
    assert [x for x, _ in judged[0]] == [x for x, _ in judged[1]]
    assert [x for _, x in judged[0]] == pytest.approx([x for _, x in judged[1]], rel=1e-5)


def test_what_was_told_is_taken_back(tmp_path: Path) -> None:
    made = session(tmp_path, asked("auto", HEAD), data=even())
    told = of(e.PrefixCached, run(made, [(5, c.Thaw(id="1", pattern="*"))]))
    last = {x.data: (x.cut, x.why) for x in told}  # type: ignore[attr-defined]
    assert last == dict.fromkeys(("training", "validation"), ("", NOTHING))


def test_a_cut_is_not_looked_for_with_lent_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is due once the weights themselves were judged, in smaller pieces."""
    judged, measured = [], evaluate._measured_in_pieces
    fails = set[Path]()

    def measure(made: Any, module: nn.Module, batch: Batch) -> Any:
        if made.progress.step == 8 and made.folder not in fails:
            fails.add(made.folder)
            raise RuntimeError("out of memory")
        return measured(made, module, batch)

    monkeypatch.setattr(evaluate, "_measured_in_pieces", measure)
    for cache in ("off", "auto"):
        (folder := tmp_path / cache).mkdir()
        averaged = RegularisationConfig(ema=0.9)
        wanted = replace(asked(cache, BODY, 4), regularisation=averaged)
        made = session(folder, wanted, data=even(), val_data=batches(4, 4))
        events = run(made, [(7, c.Freeze(id="1", pattern="body"))])
        judged.append([x.loss for x in of(e.Evaluated, events) if x.weights == "ema"])  # type: ignore[attr-defined]
    assert len(fails) == 2
    assert judged[0] == pytest.approx(judged[1], rel=1e-5)


def views(tmp_path: Path, cache: str, precision: str = "exact", epochs: int = 9) -> tuple[Any, int]:
    """What is told of the training data of a run on eight pictures that look otherwise each time,
    and how many pictures its stem saw."""
    folder = tmp_path / f"{cache}, {precision}, {epochs}"
    folder.mkdir()
    asks = asked(cache, HEAD, epochs)
    data = replace(asks.data, batch_size=4, augment="standard")
    asks = replace(asks, data=data, training=replace(asks.training, cache_precision=precision))
    loader = TrainLoader(Noise(8), data, 0, Feeding())
    made = session(folder, asks, data=loader)  # type: ignore[arg-type]
    counting = Counting()
    made.module.get_submodule("stem.0").register_forward_hook(counting)
    events = run(made)
    return next(x for x in of(e.PrefixCached, events) if x.data == "training"), counting.samples  # type: ignore[attr-defined]


class Noise:
    """Pictures that are other ones for each epoch of a key."""

    augmented = True

    def __init__(self, count: int) -> None:
        self.labels = np.arange(count) % 3

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: Key) -> Batch:
        numbers = [draw % len(self) for draw in key.draws]
        seeds = [1000 * key.epoch + draw for draw in key.draws]
        made = [torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(x)) for x in seeds]
        return Batch(torch.stack(made), torch.tensor(self.labels[numbers]), (), numbers)


def test_several_views_of_each_sample_are_remembered_and_no_more(tmp_path: Path) -> None:
    two, seen = views(tmp_path, "views:2")
    _, seen_in_longer = views(tmp_path, "views:2", epochs=20)
    assert (two.samples, two.views) == (16, 2)
    assert seen == seen_in_longer
    three, more = views(tmp_path, "views:3")
    assert (three.samples, three.views, more - seen) == (24, 3, 8)


def test_as_many_views_as_epochs_save_nothing(tmp_path: Path) -> None:
    told, _ = views(tmp_path, "views:3", epochs=3)
    assert (told.cut, told.why) == ("", "3 views of each save nothing in 3 epochs")


def test_an_epoch_draws_one_view_of_each_sample() -> None:
    data = config().data
    loader = TrainLoader(Noise(8), data, 0, Feeding())
    drawn = [[n for batch in loader.numbers(epoch, 0, 3) for n in batch] for epoch in range(20)]
    assert all(sorted(n % 8 for n in rows) == [*range(8)] for rows in drawn)
    assert {n for rows in drawn for n in rows} == {*range(24)}
    assert [n for batch in loader.numbers(5, 1, 3) for n in batch] == drawn[5][data.batch_size :]


def test_half_precision_takes_half_of_the_room(tmp_path: Path) -> None:
    whole, half = (views(tmp_path, "views:2", x)[0] for x in ("exact", "bf16"))
    labels = 16 * 8
    assert half.size - labels == (whole.size - labels) / 2
    assert half.precision == "bf16"


def test_a_resumed_run_is_judged_alike_where_half_precision_is_kept(tmp_path: Path) -> None:
    judged = []
    for name, steps in (("whole", None), ("killed", 7)):
        (folder := tmp_path / name).mkdir()
        asks = asked("auto", HEAD)
        asks = replace(asks, training=replace(asks.training, cache_precision="bf16"))
        worker = ToyWorker(folder, asks)
        if not worker.live(steps=steps):
            assert worker.live()
        judged.append({x.epoch: x.loss for x in of(e.Evaluated, worker.journal)})  # type: ignore[attr-defined]
    assert judged[0] == judged[1]


def test_what_fp16_cannot_hold_is_not_remembered() -> None:
    with pytest.raises(Unfit, match="too large for fp16"):
        using._as_kept({"@a": torch.tensor([1e6])}, torch.float16)


def test_looking_for_a_cut_leaves_the_epoch_as_it_was(tmp_path: Path) -> None:
    """Reading processes serve one reader at a time."""
    came_to = []
    for workers in (0, 1):
        (folder := tmp_path / str(workers)).mkdir()
        asks = asked("auto", [Rule("*")], 2)
        data = replace(asks.data, batch_size=2, augment="none")
        loader = TrainLoader(Noise(12), data, 0, Feeding(workers))
        made = session(folder, replace(asks, data=data), data=loader)  # type: ignore[arg-type]
        events = run(made, [(2, c.Freeze(id="1", pattern="body"))])
        loader.close()
        came_to.append([x.loss for x in of(e.StepsTrained, events)])  # type: ignore[attr-defined]
    assert came_to[0] == came_to[1]


class Naming(Batches):
    """Names a broken file when it is first met, and then no more."""

    broken = (e.FileSkipped(path="a.png", reason="broken"),)

    def __iter__(self) -> Iterator[Batch]:
        for batch in super().__iter__():
            named, self.broken = self.broken, ()
            yield dataclasses.replace(batch, skipped=named)


def test_looking_for_a_cut_tells_of_broken_files(tmp_path: Path) -> None:
    made = session(tmp_path, asked("auto", HEAD), data=even(), val_data=Naming(batches(4, 4)))
    assert [x.path for x in of(e.FileSkipped, run(made))] == ["a.png"]  # type: ignore[attr-defined]


def test_where_there_is_no_room_amid_the_validation_data_it_is_evaluated_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise NoRoom("it takes 3 GiB")

    monkeypatch.setattr(using.Store, "put", full)
    made = session(tmp_path, asked("auto", HEAD), data=even())
    made.val_data = batches(4, 3, 2)
    events = run(made)
    told = [(x.data, x.why) for x in of(e.PrefixCached, events)]  # type: ignore[attr-defined]
    assert told == [("training", "it takes 3 GiB"), ("validation", "it takes 3 GiB")]
    assert [x.samples for x in of(e.Evaluated, events)] == [9, 9, 9]  # type: ignore[attr-defined]


class InPairs(nn.Module):
    """Takes batches of even sizes only."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 3, 2, 1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        pairs = self.stem(x).mean((2, 3)).view(2, len(x) // 2, 4)
        out: Tensor = self.head(torch.cat([*pairs]))
        return out


def test_a_model_that_fails_on_a_few_samples_trains_all_the_same(tmp_path: Path) -> None:
    losses = []
    for cache in ("off", "auto"):
        (folder := tmp_path / cache).mkdir()
        torch.manual_seed(0)
        made = session(folder, asked(cache, HEAD), InPairs(), even(), batches(4, 4))
        events = run(made)
        losses.append([x.loss for x in of(e.StepsTrained, events)])  # type: ignore[attr-defined]
    assert losses[0] == losses[1]
    told = [x.why for x in of(e.PrefixCached, events)]  # type: ignore[attr-defined]
    assert len(told) == 2
    assert all("failed (shape '[2, 1, 4]' is invalid" in why for why in told)
