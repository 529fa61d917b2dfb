"""Every event and command survives the wire."""

from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.codec import decode_command, decode_event, encode
from tests.engine.contract import strategies

EVENTS = get_args(e.AnyEvent)
COMMANDS = get_args(c.AnyCommand)


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_an_event_comes_back_as_it_was(kind: type[e.Event], data: st.DataObject) -> None:
    event = data.draw(strategies.struct(kind))
    line = encode(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_event(line) == event


@pytest.mark.parametrize("kind", COMMANDS, ids=lambda kind: kind.__name__)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_command_comes_back_as_it_was(kind: type[c.Command], data: st.DataObject) -> None:
    command = data.draw(strategies.struct(kind))
    line = encode(command)
    assert line.count(b"\n") == 1
    assert decode_command(line) == command


def test_every_event_and_command_is_in_its_union() -> None:
    assert set(EVENTS) == set(e.Event.__subclasses__())
    stamped = set(c.Command.__subclasses__()) - set(COMMANDS)
    assert {kind for base in stamped for kind in base.__subclasses__()} == set(COMMANDS)


@given(junk=st.binary(max_size=50))
def test_junk_is_a_value_error(junk: bytes) -> None:
    for decode in (decode_event, decode_command):
        with pytest.raises(ValueError):  # noqa: PT011 (any is one)
            decode(junk)


def test_an_unknown_field_of_a_newer_version_is_passed_over() -> None:
    line = encode(e.Warned(message="x", time=1.0)).replace(b"{", b'{"severity":3,', 1)
    assert decode_event(line) == e.Warned(message="x", time=1.0)


def test_losses_that_json_lacks_come_back_as_gaps() -> None:
    nan = e.StepsTrained(
        first_step=1, loss=[float("nan"), 1.0], lr=[0.1, 0.1], samples_per_second=1
    )
    decoded = decode_event(encode(nan))
    assert isinstance(decoded, e.StepsTrained)
    assert decoded.loss == [None, 1.0]


def test_a_command_is_described_in_a_few_words() -> None:
    said = [c.describe(x) for x in (c.Pause(), c.SetLearningRate(1e-3), c.Freeze("a"), c.Thaw("b"))]
    assert said == ["pause", "lr 0.001", "freeze a", "thaw b"]
    assert c.describe(c.SetPlan([])) == "plan"


def test_each_command_has_an_id_of_its_own() -> None:
    assert c.Pause().id != c.Pause().id
