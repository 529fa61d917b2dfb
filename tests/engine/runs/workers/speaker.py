"""A worker process that speaks the journal's protocol, without torch: for tests of the other end.

Its epochs have ten steps. It ends by itself after `training.epochs` epochs when that is 1, and
goes on until it is told to stop otherwise.
"""

import os
import sys
import time
from pathlib import Path

from engine.contract import commands as c
from engine.contract import events as e
from engine.contract import toml
from engine.runs import lock
from engine.runs.journal import EVENTS, Inbox, Journal
from engine.runs.store import CONFIG, state_of

STEPS_PER_EPOCH = 10


def main(folder: Path) -> None:
    lock.inherit(folder)
    config = toml.load(folder / CONFIG)
    state, _ = state_of(folder)
    inbox = Inbox(folder, state.answers)
    has_begun = (folder / EVENTS).exists()
    journal = Journal(folder)
    me = {"pid": os.getpid(), "host": "here", "versions": {}, "config": config}
    if has_begun:
        journal.append(e.RunResumed(from_step=0, **me))
    else:
        journal.append(e.RunStarted(**me))
    epochs = config.training.epochs
    journal.append(
        e.TrainingStarted(
            step=0,
            epoch=1,
            epochs=epochs,
            steps_per_epoch=STEPS_PER_EPOCH,
            lr=0.01,
            device="cpu",
            device_name="",
            precision="fp32",
            threads=1,
        )
    )
    journal.append(e.EpochStarted(epoch=1, step=0))
    step = 0
    while epochs > 1 or step < STEPS_PER_EPOCH:
        step += 1
        trained = e.StepsTrained(
            first_step=step, loss=[1 / step], lr=[0.01], samples_per_second=9.0
        )
        journal.append(trained)
        for command in inbox.drain():
            obey(journal, command, step)
        time.sleep(0.002)
    journal.append(e.RunFinished(step=step))
    journal.close()


def obey(journal: Journal, command: c.AnyCommand, step: int) -> None:
    match command:
        case c.Stop():
            journal.append(e.CommandApplied(step=step, command=command))
            journal.append(e.RunStopped(step=step, by="command"))
            sys.exit(0)
        case c.Freeze(pattern="nothing"):
            reason = "nothing matches no parameter."
            journal.append(e.CommandRejected(step=step, command=command, reason=reason))
        case c.Evaluate():  # dies instead
            os.abort()
        case c.Checkpoint():  # never answers
            pass
        case _:
            journal.append(e.CommandApplied(step=step, command=command))


if __name__ == "__main__":
    main(Path(sys.argv[-1]))
