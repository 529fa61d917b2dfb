import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract.training_tables import ScheduleConfig
from engine.schedule import factor

schedules = st.builds(
    ScheduleConfig,
    name=st.sampled_from(["constant", "cosine"]),
    warmup_steps=st.integers(0, 30),
    end_factor=st.floats(0, 1),
)


def test_constant_is_one() -> None:
    assert {factor(i, 10, ScheduleConfig("constant")) for i in range(10)} == {1.0}


def test_cosine_falls_from_one_along_half_a_period() -> None:
    config = ScheduleConfig(name="cosine", end_factor=0.2)
    values = [factor(i, 4, config) for i in range(5)]
    expected = [0.2 + 0.4 * (1 + math.cos(math.pi * share)) for share in (0, 0.25, 0.5, 0.75, 1)]
    assert values == pytest.approx(expected)


def test_cosine_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=7, eta_min=0.1)
    for index in range(7):
        ours = factor(index, 7, ScheduleConfig(name="cosine", end_factor=0.1))
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()


def test_warm_up_rises_linearly_and_the_cosine_starts_where_it_ends() -> None:
    config = ScheduleConfig(name="cosine", warmup_steps=4)
    assert [factor(i, 8, config) for i in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert factor(8, 8, config) == pytest.approx(0)


def test_where_epochs_changed_their_length_the_cosine_is_ahead_and_the_warm_up_is_not() -> None:
    config = ScheduleConfig(name="cosine", warmup_steps=4)
    assert [factor(i, 20, config, ahead=8) for i in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert factor(4, 20, config, ahead=8) == factor(12, 20, config)
    late = [factor(i, 8, config, ahead=-6) for i in range(4, 14)]
    assert late == [1.0] * 7 + [factor(i, 8, config) for i in range(5, 8)]


@given(schedules, st.integers(1, 40), st.integers(0, 80))
def test_it_is_a_share_at_any_step_even_past_the_end(
    config: ScheduleConfig, total: int, index: int
) -> None:
    value = factor(index, total, config)
    assert 0 <= value <= 1
    if index >= config.warmup_steps:
        assert value >= (config.end_factor if config.name == "cosine" else 1) - 1e-12


@given(schedules, st.integers(1, 40))
def test_it_never_rises_after_the_warm_up(config: ScheduleConfig, total: int) -> None:
    values = [factor(i, total, config) for i in range(config.warmup_steps, total + 5)]
    assert all(b <= a + 1e-12 for a, b in pairwise(values))
