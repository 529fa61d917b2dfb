"""What is looked for before a run starts: the rate and the size of batches."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine import find_batch as batch_sizes
from engine import memory
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.events import StepsTrained
from engine.contract.finding import HIGHEST_LR, LOWEST_LR, RateTried, SizeTried, Suggested
from engine.contract.rules import Rule
from engine.contract.training_tables import (
    OptimizerConfig,
    RegularisationConfig,
    ScheduleConfig,
    TrainingConfig,
)
from engine.find_batch import find_batch, for_sizes, foreseen
from engine.find_lr import averages, find_lr, for_search, suggestion
from engine.session import Session
from tests.engine.sessions import UNGUARDED, TrainTensors, config, of, run, session, tensors

pytestmark = pytest.mark.usefixtures("one_thread")


def telling(count: int = 96) -> tuple[Tensor, Tensor]:
    """Pictures whose class is how bright they are."""
    labels = torch.arange(count) % 3
    noise = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return noise + 2.0 * (labels - 1)[:, None, None, None], labels


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential()
    net.add_module("stem", nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()))
    net.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    net.add_module("head", nn.Linear(8, 3))
    return net


def learning(folder: Path, asked: Config, net: nn.Module | None = None) -> Session:
    return session(folder, asked, net or small_net(), TrainTensors(*telling(), 8))


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_training_learns_at_the_rate_that_is_suggested_and_not_at_100_times_it(
    tmp_path: Path, name: str
) -> None:
    def losses(lr: float) -> list[float]:
        asked = config(
            optimizer=OptimizerConfig(name=name, lr=lr),  # type: ignore[arg-type]
            schedule=ScheduleConfig("constant"),
            training=TrainingConfig(epochs=4),
            guard=UNGUARDED,
        )
        told = run(learning(tmp_path, asked))
        return [
            x if x is not None else float("inf") for e in of(StepsTrained, told) for x in e.loss
        ]

    asked = for_search(config(optimizer=OptimizerConfig(name=name)))  # type: ignore[arg-type]
    *tried, found = find_lr(learning(tmp_path, asked))
    assert isinstance(found, Suggested)
    assert found.value is not None
    assert LOWEST_LR < found.value < HIGHEST_LR
    rates = [x.lr for x in tried if isinstance(x, RateTried)]
    assert rates[0] == LOWEST_LR
    assert found.value <= rates[-1] / 10
    assert "diverged" in found.why
    good, bad = losses(found.value), losses(100 * found.value)
    assert max(good) < 2 * good[0]
    assert sum(good[-10:]) / 10 < good[0] / 2
    assert max(bad) > 5 * bad[0]


def test_what_is_frozen_stays_and_multipliers_are_kept(tmp_path: Path) -> None:
    plan = [Rule("*", lr_scale=0.5), Rule("stem", train=False), Rule("head.bias", lr_scale=3.0)]
    asked = config(trainable=plan, schedule=ScheduleConfig("cosine", warmup_steps=50))
    searched = learning(tmp_path, for_search(asked))
    before = tensors(searched.module)
    search = find_lr(searched)
    for _ in range(30):
        tried = next(search)
        assert isinstance(tried, RateTried)
        rates = {group["lr_scale"]: group["lr"] for group in searched.optimizer.param_groups}
        assert rates[0.5] == pytest.approx(0.5 * tried.lr)
        assert rates[3.0] == pytest.approx(3.0 * tried.lr)
    after = tensors(searched.module)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head.weight", "head.bias"}
    assert asked.trainable == plan
    assert asked.schedule.warmup_steps == 50


def test_it_begins_where_a_run_would(tmp_path: Path) -> None:
    asked = config(regularisation=RegularisationConfig(ema=0.9), training=TrainingConfig(epochs=1))
    first = next(iter(find_lr(learning(tmp_path, for_search(asked)))))
    made = learning(tmp_path, asked)
    batch = next(iter(made.train_data.epoch(1)))
    with torch.no_grad():
        loss = made.objective.loss(made.module(batch.inputs), batch.targets)
    assert isinstance(first, RateTried)
    assert first.loss == pytest.approx(loss.item())


def test_nothing_is_suggested_of_noise_or_where_no_rate_helps() -> None:
    rates = [1e-7 * 1.2**n for n in range(100)]
    noise = (2 + 0.2 * torch.randn(100, generator=torch.Generator().manual_seed(0))).tolist()
    assert suggestion(rates, noise)[0] is None
    assert suggestion(rates[:5], [1.0, 1.1, 1.3, 2.0, 4.0]) == (None, "The loss fell at no rate.")
    assert suggestion([], [])[0] is None


def test_the_suggestion_is_at_most_a_tenth_of_the_rate_where_the_loss_is_lowest() -> None:
    rates = [10 ** (-7 + 0.08 * n) for n in range(100)]
    falling = [2.0] * 60 + [2.0 - 0.1 * n for n in range(15)] + [9.0] * 5
    value, why = suggestion(rates, falling)
    low = averages(falling).index(min(averages(falling)))
    assert value == pytest.approx(rates[low] / 10, rel=0.05)
    assert "A tenth" in why


class Hungry(nn.Module):
    """Has no room for more than `most` pictures."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.sizes = most, list[int]()
        self.head = small_net()

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        out: Tensor = self.head(x)
        return out


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps are enough; on a loaded computer, no size may seem slower than smaller ones."""
    monkeypatch.setattr(batch_sizes, "_SECONDS", 0.0)
    monkeypatch.setattr(batch_sizes, "_IN_VAIN", 99)


def hungry(folder: Path, most: int) -> tuple[Session, Hungry]:
    asked = for_sizes(config(training=TrainingConfig(accumulate=3)))
    net = Hungry(most)
    return learning(folder, asked, net), net


@pytest.mark.usefixtures("quick")
def test_it_stops_at_want_of_memory_and_suggests_what_fits(tmp_path: Path) -> None:
    made, net = hungry(tmp_path, 12)
    *tried, found = find_batch(made)
    assert [x.size for x in tried if isinstance(x, SizeTried)] == [2, 4, 8]
    assert {*net.sizes} == {2, 4, 8, 16}  # whole batches, each in one piece
    assert isinstance(found, Suggested)
    assert found.value in (2, 4, 8)
    assert "not enough memory for 16" in found.why
    assert all(p.grad is None for p in made.module.parameters())
    made, _ = hungry(tmp_path, 1)
    with pytest.raises(UserError, match="not enough memory to train on 2 samples"):
        list(find_batch(made))


@pytest.mark.usefixtures("quick")
def test_it_ends_before_the_computers_memory_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peaks = iter([1000, 1100, 1300, 1700])
    monkeypatch.setattr(batch_sizes.Peak, "bytes", property(lambda _: next(peaks)))
    monkeypatch.setattr(memory, "taken", lambda: 900)
    monkeypatch.setattr(memory, "free", lambda: 1500)  # 8 needs 400 more, 16 needs 800
    *tried, found = find_batch(hungry(tmp_path, 99)[0])
    assert [x.memory for x in tried if isinstance(x, SizeTried)] == [1000, 1100, 1300]
    assert isinstance(found, Suggested)
    assert "16 would take" in found.why


def test_what_the_process_took_before_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_before", 0)
    monkeypatch.setattr(memory, "resident", lambda: 900)
    memory.begin_counting()
    monkeypatch.setattr(memory, "high_water", lambda: 1000)
    assert batch_sizes.Peak(torch.device("cpu")).bytes == 100


def test_what_the_next_size_takes_is_foreseen_on_a_line() -> None:
    assert foreseen(600, [1000]) == 1400
    assert foreseen(600, [1000, 1100]) == 1300
    assert foreseen(600, [1000, 900]) == 900


@pytest.mark.usefixtures("quick")
def test_it_ends_with_the_data_or_where_larger_ones_are_no_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *tried, found = find_batch(hungry(tmp_path, 999)[0])
    assert [x.size for x in tried if isinstance(x, SizeTried)] == [2, 4, 8, 16]
    assert isinstance(found, Suggested)
    assert "Of 96 training samples" in found.why
    monkeypatch.setattr(batch_sizes, "_STEPS", 1)
    seconds = iter([0.02, 0.02, 0.022, 0.043, 0.086, 0.023])
    monkeypatch.setattr(batch_sizes, "_seconds", lambda *_: [next(seconds)])
    monkeypatch.setattr(batch_sizes, "_IN_VAIN", 2)
    *tried, found = find_batch(hungry(tmp_path, 999)[0])
    assert [x.size for x in tried if isinstance(x, SizeTried)] == [2, 4, 8, 16, 32]
    assert isinstance(found, Suggested)
    assert found.value == 8
    assert (
        found.why
        == "8 has 97 % of the throughput of 16, the fastest. 16 and 32 were hardly faster "
        "than smaller ones."
    )


@pytest.mark.parametrize(("again", "said"), [(0.1, "50 % less"), (0.025, "100 % more")])
def test_figures_that_do_not_come_out_twice_are_doubted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: float, said: str
) -> None:
    monkeypatch.setattr(batch_sizes, "_STEPS", 50)
    seconds = iter([0.05, again])
    monkeypatch.setattr(batch_sizes, "_seconds", lambda *_: [next(seconds)])
    *_, found = find_batch(hungry(tmp_path, 999)[0])
    assert isinstance(found, Suggested)
    assert found.value == 2
    assert f"Measured again, 2 had {said}, so the other figures are no surer" in found.why


def test_what_does_not_fit_any_more_is_doubted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_sizes, "_STEPS", 50)
    seconds = iter([[0.05], []])
    monkeypatch.setattr(batch_sizes, "_seconds", lambda *_: next(seconds))
    *_, found = find_batch(hungry(tmp_path, 999)[0])
    assert isinstance(found, Suggested)
    assert "Measured again, there was not enough memory for 2" in found.why
