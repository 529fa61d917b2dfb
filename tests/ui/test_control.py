"""`ftui ctl`: which command each call sends."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.errors import UserError
from engine.runs.client import Run
from ftui.cli.control import ctl
from tests.ui.scripted import ScriptedRun


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[c.AnyCommand]:
    """What was sent; the worker obeys at once."""
    commands: list[c.AnyCommand] = []

    async def send(run: Run, command: c.AnyCommand) -> e.CommandApplied:
        assert run.folder.name == "2026-11-23-resnet18-pets"
        commands.append(command)
        return e.CommandApplied(7, command)

    monkeypatch.setattr(Run, "send", send)
    return commands


def call(run: ScriptedRun, *words: str) -> str:
    """What a call prints. Raises what it raises."""
    folder = str(run.folder.parent)
    done = CliRunner().invoke(
        ctl, ["--runs-dir", folder, run.folder.name[:12], *words], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return done.output


def fields(command: c.AnyCommand) -> dict[str, Any]:
    told = {name: getattr(command, name) for name in command.__struct_fields__}
    return {name: value for name, value in told.items() if name not in ("id", "time")}


@pytest.mark.parametrize(
    ("words", "kind", "values", "told"),
    [
        (["pause"], c.Pause, {}, "pause"),
        (["lr", "0.1"], c.SetLearningRate, {"lr": 0.1}, "lr 0.1"),
        (["rewind", "48"], c.Rewind, {"step": 48}, "rewind 48"),
        (["auto-rgn"], c.AutoRGN, {}, "Auto-RGN"),
        (["stages"], c.SetStages, {"stages": []}, "no stages to come"),
        (
            ["set", "training.epochs = 20"],
            c.SetOption,
            {"key": "training.epochs", "value": "20"},
            "epochs 20",
        ),
        (["set", "optimizer.lr=1e-3"], c.SetLearningRate, {"lr": 0.001}, "lr 0.001"),
        (["thaw", "layer4"], c.Thaw, {"pattern": "layer4", "lr_scale": 1.0}, "thaw layer4"),
    ],
)
def test_a_call_sends_its_command_and_says_when_it_was_obeyed(
    run: ScriptedRun,
    sent: list[c.AnyCommand],
    words: list[str],
    kind: type[c.Command],
    values: dict[str, Any],
    told: str,
) -> None:
    more = "; everything trains now" if kind is c.AutoRGN else ""
    assert call(run, *words) == f"{told}: applied at step 7{more}\n"
    (command,) = sent
    assert isinstance(command, kind)
    assert fields(command) == values


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["pause", "now"], "pause takes no value."),
        (["stages", "now"], "stages takes no value."),
        (["rewind"], "rewind needs a step."),
        (["rewind", "-1"], 'rewind needs a step, a whole number, not "-1".'),
        (["rewind", "best"], 'rewind needs a step, a whole number, not "best".'),
        (["set"], "set needs key=value, such as training.epochs=20."),
        (["set", "20"], 'set needs key=value, such as training.epochs=20, not "20".'),
        (["set", "data.batch_size=8"], "data.batch_size is fixed while a run trains;"),
        (["set", "training.epochs=x"], "training.epochs must be a whole number"),
        (["lr", "fast"], 'lr must be a number such as 0.001, not "fast".'),
    ],
)
def test_a_bad_call_sends_nothing(
    run: ScriptedRun, sent: list[c.AnyCommand], words: list[str], why: str
) -> None:
    with pytest.raises(UserError) as refused:
        call(run, words[0], "--", *words[1:])
    assert str(refused.value).startswith(why)
    assert sent == []


def test_help_names_every_action() -> None:
    text = CliRunner().invoke(ctl, ["--help"]).output
    for action in ("auto-rgn", "stages", "rewind STEP", "set KEY=VALUE"):
        assert action in text


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no run"):
        CliRunner().invoke(
            ctl, ["nowhere", "pause", "--runs-dir", str(tmp_path)], catch_exceptions=False
        )
