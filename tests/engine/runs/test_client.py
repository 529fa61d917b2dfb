"""The async face, against real worker processes."""

import asyncio
import math
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from itertools import chain
from pathlib import Path

import msgspec
import pytest

import engine
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract import toml
from engine.contract.codec import decode_command, encode
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.order import check_order
from engine.contract.training_tables import EarlyStoppingConfig, TrainingConfig
from engine.runs import lock
from engine.runs.client import CommandRefused, Run, attach, start
from engine.runs.journal import COMMANDS, EVENTS, Outbox, event_tail
from tests.engine.runs.conftest import eventually, first_step, kill, wait_until_free


async def test_a_run_is_followed_to_its_end(short: Config, runs: Path) -> None:
    run = await start(short, runs, module="speaker")
    seen = []
    async for event in run.events():
        seen.append(event)
        assert run.state.updated == event.time  # folded exactly this far
    check_order(seen)
    assert (run.status, run.state.step, run.crashed) == ("finished", 10, False)
    assert seen == event_tail(run.folder).read()


async def test_batches_hold_the_same_events(short: Config, runs: Path) -> None:
    run = await start(short, runs, module="speaker")
    batches = [batch async for batch in run.batches()]
    assert batches.count([]) == 1
    assert [*chain(*batches)] == event_tail(run.folder).read()
    assert run.caught_up
    *told, last = [batch async for batch in attach(run.folder).batches()]
    assert last == []  # where the past ends
    assert all(told)


async def test_two_subscriptions_fold_once(live: Run) -> None:
    """Folding a step twice would not show; a skipped file told twice would."""
    await first_step(live)
    with (live.folder / EVENTS).open("ab") as file:
        file.write(encode(e.FileSkipped(path="a", reason="broken")))

    async def follow() -> None:
        async for _ in live.events():
            pass

    following = [asyncio.create_task(follow()) for _ in range(2)]
    await live.send(c.Stop())
    await asyncio.gather(*following)
    assert live.state.skipped_count == 1
    assert live.status == "stopped"


async def test_without_following_it_ends_where_the_journal_ends(live: Run) -> None:
    await first_step(live)
    assert [type(x).__name__ async for x in live.events(follow=False)][:2] == [
        "RunStarted",
        "TrainingStarted",
    ]
    assert live.status == "running"


async def test_a_command_returns_when_it_was_applied(live: Run) -> None:
    command = c.SetLearningRate(0.5)
    applied = await live.send(command)
    assert applied.command == command
    assert applied in event_tail(live.folder).read()


async def test_a_refused_command_tells_why(live: Run) -> None:
    with pytest.raises(CommandRefused, match="nothing matches no parameter"):
        await live.send(c.Freeze("nothing"))


async def test_many_commands_at_once_get_their_own_answers(live: Run) -> None:
    commands = [c.SetLearningRate(n / 10) for n in range(1, 9)]
    answers = await asyncio.gather(*map(live.send, commands))
    assert [a.command for a in answers] == commands


async def test_commands_are_written_down_in_the_order_they_were_sent(
    live: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, append = lock.look, Outbox.append
    looked, written = threading.Event(), threading.Event()

    def slow_at_first(folder: Path) -> lock.Hold:
        if not looked.is_set():
            looked.set()
            written.wait(0.5)  # long enough for the second command, were it let go ahead
        return look(folder)

    def told(outbox: Outbox, command: c.AnyCommand) -> None:
        append(outbox, command)
        written.set()

    monkeypatch.setattr(lock, "look", slow_at_first)
    monkeypatch.setattr(Outbox, "append", told)
    commands = [c.SetLearningRate(0.1), c.SetLearningRate(0.2)]
    sends = [asyncio.create_task(live.send(command)) for command in commands]
    before = (live.folder / COMMANDS).read_bytes().count(b"\n")
    await eventually(lambda: (live.folder / COMMANDS).read_bytes().count(b"\n") == before + 2)
    await asyncio.gather(*sends)
    lines = (live.folder / COMMANDS).read_bytes().splitlines()
    assert [decode_command(line) for line in lines[-2:]] == commands


async def test_a_command_to_an_ended_run_is_a_sentence(live: Run) -> None:
    await live.send(c.Stop())
    wait_until_free(live.folder)
    with pytest.raises(UserError, match=r"is stopped: no worker is there .*ftui resume"):
        await live.send(c.Pause())


async def test_a_worker_that_dies_before_it_obeys(live: Run) -> None:
    with pytest.raises(UserError, match="ended before it obeyed 'evaluate'"):
        await live.send(c.Evaluate())


async def test_a_worker_that_does_not_answer(live: Run) -> None:
    with pytest.raises(UserError, match=r"not obeyed within 0.01 s"):
        await live.send(c.Checkpoint(), timeout=0.01)


async def test_a_value_that_json_lacks_is_not_sent(live: Run) -> None:
    with pytest.raises(UserError, match="not a value that can be sent"):
        await live.send(c.SetLearningRate(math.nan))
    assert (live.folder / "commands.jsonl").read_bytes() == b""


async def test_a_killed_worker_ends_the_iteration(live: Run) -> None:
    ended = []
    async for event in live.events():
        ended.append(event)
        if len(ended) == 10:
            assert live.state.pid
            kill(live.state.pid)
    assert live.crashed
    assert live.status == "crashed"
    assert ended == event_tail(live.folder).read()


async def test_a_worker_that_never_spoke(config: Config, runs: Path) -> None:
    run = await start(config, runs, module="dies_at_import")
    assert [event async for event in run.events()] == []
    assert run.crashed
    assert run.last_words == "ImportError: no module named torch"


async def test_before_the_first_word_it_is_preparing(config: Config, runs: Path) -> None:
    run = await start(config, runs, module="waits")
    assert [event async for event in run.events(follow=False)] == []
    assert run.status == "preparing"
    (run.folder / "go").touch()
    await first_step(run)
    assert run.status == "running"


async def test_a_vanished_folder_is_a_sentence(live: Run) -> None:
    await first_step(live)

    async def follow() -> None:
        async for _ in live.events():
            pass

    following = asyncio.create_task(follow())
    await eventually(lambda: live.caught_up)
    await asyncio.to_thread(shutil.rmtree, live.folder)
    with pytest.raises(UserError, match="the run's folder is gone"):
        await following


async def test_a_replaced_journal_is_folded_anew(live: Run) -> None:
    await live.send(c.Stop())
    wait_until_free(live.folder)
    events: AsyncIterator[e.AnyEvent] = live.events()
    await anext(events)
    told = [await anext(events) for _ in range(3)]
    assert told
    (live.folder / "new").write_bytes(encode(e.RunFinished(step=7)))
    (live.folder / "new").replace(live.folder / EVENTS)
    async for _ in events:
        pass
    assert live.state.phase == "finished"
    assert live.state.config is None


async def test_reading_a_long_journal_leaves_the_loop_free(live: Run) -> None:
    await live.send(c.Stop())
    wait_until_free(live.folder)
    line = encode(e.Warned(message="x" * 50, time=1.0))
    (live.folder / EVENTS).write_bytes(line * 100_000)
    beats, done = 0, asyncio.Event()

    async def beat() -> None:
        nonlocal beats
        while not done.is_set():
            beats += 1
            await asyncio.sleep(0)

    heart = asyncio.create_task(beat())
    largest = 0
    async for batch in live.batches():
        largest = max(largest, len(batch))
    done.set()
    await heart
    assert len(live.state.warnings) == 100_000
    assert largest < 5000
    assert beats > 20


async def test_paths_are_made_absolute(
    config: Config, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pth").touch()
    relative = msgspec.structs.replace(
        config,
        data=msgspec.structs.replace(config.data, path="Pets & co"),
        model=msgspec.structs.replace(config.model, weights="w.pth"),
    )
    run = await start(relative, runs, module="waits")
    written = toml.load(run.folder / "config.toml")
    assert written.data.path == str(tmp_path / "Pets & co")
    assert written.model.weights == str(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.path=/no/such/folder", "data.path: there is no folder /no/such/folder"),
        (f"data.path={__file__}", "data.path: .* is a file"),
        (f"data.path=/{'x' * 5000}", "can't be read"),
        ("model.weights=missing.pth", "model.weights: there is no file .*missing.pth"),
        ("data.path=~nosuchuser/x", "data.path: there is no folder .*~nosuchuser/x"),
        ("model.weights=~nosuchuser/w.pth", "model.weights: there is no file .*~nosuchuser/w.pth"),
    ],
)
async def test_what_is_not_there_starts_nothing(
    config: Config, runs: Path, override: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        await start(toml.parse(toml.dump(config), overrides=[override]), runs)
    assert not runs.exists()


async def test_a_config_built_in_code_is_checked_too(config: Config, runs: Path) -> None:
    wrong = msgspec.structs.replace(config, training=TrainingConfig(epochs=0))
    with pytest.raises(UserError, match=r"training.epochs must be a whole number at least 1"):
        await start(wrong, runs)
    assert not runs.exists()


async def test_settings_that_contradict_each_other_start_nothing(
    config: Config, runs: Path
) -> None:
    wrong = msgspec.structs.replace(config, early_stopping=EarlyStoppingConfig(metric="ema_loss"))
    with pytest.raises(UserError, match=r"^early_stopping\.metric: ema_loss judges the moving"):
        await start(wrong, runs)
    assert not runs.exists()


async def test_a_name_that_utf8_cannot_say(config: Config, runs: Path, tmp_path: Path) -> None:
    data = tmp_path / "a\udcff"
    data.mkdir()
    wrong = msgspec.structs.replace(
        config, data=msgspec.structs.replace(config.data, path=str(data))
    )
    with pytest.raises(UserError, match="not UTF-8"):
        await start(wrong, runs)


async def test_attach_takes_what_find_takes(live: Run, runs: Path) -> None:
    assert attach(live.folder.name[:14], runs).folder == live.folder
    assert engine.attach(live.folder).folder == live.folder
    with pytest.raises(UserError, match="no run"):
        attach("zzz", runs)


def test_the_engine_is_imported_without_torch() -> None:
    code = (
        "import sys, engine, engine.hardware, engine.runs.inspect\n"
        "print({'torch', 'torchvision', 'timm', 'peft', 'textual', 'ftui'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
