"""Overfitting is told where it is, and noise is not taken for it."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.contract import events as e
from engine.contract.overfitting import Fit, fit_of
from engine.contract.state import RunState
from engine.contract.training_tables import EarlyStoppingConfig
from tests.engine.contract.journals import CONFIG

STEPS = 20
"""Steps of an epoch."""
Losses = Sequence[float | None]
losses = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30)


def run(validation: Losses, training: Losses, min_delta: float = 0.0) -> RunState:
    """A run whose epochs ended with these losses."""
    *_, state = lived(validation, training, min_delta)
    return state


def lived(validation: Losses, training: Losses, min_delta: float = 0.0) -> Iterator[RunState]:
    """The same at the end of each epoch; the steps of an epoch lie close together."""
    state = RunState()
    early = EarlyStoppingConfig(min_delta=min_delta)
    state.config = replace(CONFIG, early_stopping=early)
    wiggle = 0.01 * np.sin(np.arange(STEPS))
    for number, (loss, mean) in enumerate(zip(validation, training, strict=True), 1):
        steps = [None] * STEPS if mean is None else list(mean + (wiggle - wiggle.mean()))
        state.loss.put((number - 1) * STEPS + 1, steps)
        state.apply(evaluated(number, loss))
        yield state


def evaluated(number: int, loss: float | None) -> e.Evaluated:
    return e.Evaluated(
        step=number * STEPS,
        epoch=number,
        reason="epoch",
        loss=loss,
        figures={"top1": 0.5},
        samples=100,
        seconds=1.0,
    )


def falling(count: int) -> list[float]:
    """A training loss that goes down all the time."""
    return [1.5 * 0.8**n for n in range(count)]


def fit(validation: Losses, training: Losses | None = None, min_delta: float = 0.0) -> Fit:
    training = falling(len(validation)) if training is None else training
    found = fit_of(run(validation, training, min_delta))
    assert found is not None
    return found


def alarmed(validation: Sequence[float]) -> bool:
    """Whether overfitting is told at the end of any of the epochs."""
    fits = map(fit_of, lived(validation, falling(len(validation))))
    return any(found and found.overfits for found in fits)


def test_nothing_is_told_before_the_first_epoch_was_evaluated() -> None:
    assert fit_of(RunState()) is None
    state = run([0.5], [0.6])
    state.evaluations = [replace(state.evaluations[0], reason="command")]
    assert fit_of(state) is None
    assert fit_of(run([None], [0.6])) is None


def test_the_evidence_is_in_numbers() -> None:
    validation = [0.9, 0.6, 0.48, 0.41, 0.43, 0.45, 0.47]
    found = fit(validation, [0.9, 0.5, 0.4, 0.3, 0.2, 0.15, 0.11])
    assert found.overfits
    assert (found.best.number, found.best.step, found.best.validation) == (4, 4 * STEPS, 0.41)
    assert (found.last.number, found.last.validation) == (7, 0.47)
    assert found.best.training == pytest.approx(0.3)
    assert found.last.training == pytest.approx(0.11)
    assert found.last.gap == pytest.approx(0.36)
    assert found.before is not None
    assert found.before.gap == pytest.approx(0.3)


def test_both_of_the_last_two_evaluations_must_have_risen() -> None:
    rising = [0.5, 0.45, 0.44, 0.46, 0.49, 0.53, 0.58]
    assert fit(rising).overfits
    assert not fit([*rising[:-1], 0.44]).overfits
    assert not fit([0.5, 0.45, 0.44, 0.44, 0.44, 0.44, 0.58]).overfits


def test_epochs_that_ended_in_no_number_are_left_out() -> None:
    found = fit([0.9, 0.5, None, 0.4, 0.6, 0.8, 1.0], [1.0, 0.8, None, 0.5, 0.3, 0.2, 0.1])
    assert found.best.number == 4
    assert found.best.training == pytest.approx(0.5)
    assert found.overfits


def test_only_evaluations_at_the_end_of_an_epoch_count() -> None:
    """Who presses `v` three times in a row has not seen three epochs."""
    state = run([0.9, 0.5, 0.4], [1.0, 0.8, 0.6])
    for step in (61, 62, 63):
        state.apply(replace(evaluated(3, 5.0), step=step, reason="command"))
    found = fit_of(state)
    assert found is not None
    assert found.last.validation == 0.4
    assert not found.overfits


@given(losses)
def test_a_loss_that_never_rises_is_no_overfitting(validation: list[float]) -> None:
    assert not fit(sorted(validation, reverse=True)).overfits


@given(losses, st.floats(0, 1e3))
def test_what_is_within_min_delta_is_no_overfitting(
    validation: list[float], min_delta: float
) -> None:
    lowest = min(validation)
    close = [lowest + min_delta * x / max(validation) for x in validation]
    assume(max(close) - min(close) <= min_delta)
    assert not fit(close, min_delta=min_delta).overfits


@given(losses, st.floats(0.1, 10))
def test_where_training_does_not_fall_either_it_is_no_overfitting(
    validation: list[float], level: float
) -> None:
    assert not fit(validation, [level] * len(validation)).overfits


@given(losses, st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_the_unit_of_the_validation_loss_does_not_matter(
    validation: list[float], factor: float
) -> None:
    scaled = [factor * x for x in validation]
    assert fit(scaled).overfits == fit(validation).overfits


@given(losses, st.floats(-1, 100))
def test_the_level_of_the_training_loss_does_not_matter(
    validation: list[float], level: float
) -> None:
    """Mixup and label smoothing may lift it above that of validation: that is no reprieve."""
    training = [0.5 + (len(validation) - n) * 0.1 for n in range(len(validation))]
    lifted = [x + level for x in training]
    assert fit(validation, lifted).overfits == fit(validation, training).overfits


@given(st.integers(3, 12), st.floats(0.1, 0.5), st.lists(st.floats(-0.005, 0.005), min_size=30))
def test_a_rise_that_goes_on_is_told(turn: int, slope: float, noise: list[float]) -> None:
    """A tenth of the loss an epoch, ten times the noise: within ten epochs."""
    validation = [0.5 + 1.5 * 0.6**n for n in range(turn)]
    validation += [validation[-1] * (1 + slope * n) for n in range(1, 11)]
    assert alarmed([x + wiggle for x, wiggle in zip(validation, noise, strict=False)])


@pytest.mark.parametrize(("noise", "most"), [(0.01, 0.0), (0.03, 0.03), (0.06, 0.05), (0.15, 0.06)])
def test_a_plateau_that_is_noisy_seldom_gives_a_false_alarm(noise: float, most: float) -> None:
    """Of 100 runs of 30 epochs each, and the training loss falls in all of them."""
    random = np.random.default_rng(7)
    plateau = 0.5 + 1.5 * np.exp(-np.arange(1, 31) / 2)
    runs = [plateau + random.normal(0, 0.5 * noise, 30) for _ in range(100)]
    share = sum(map(alarmed, runs)) / len(runs)
    assert share <= most
