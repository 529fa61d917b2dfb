"""A worker started as a process of its own, in a session of its own, that outlives everybody."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.text import plain
from engine.runs import environment, lock, store
from engine.runs.logout import warn_if_killed_on_logout

__all__ = ["WORKER", "launch", "warn_if_killed_on_logout"]

WORKER = "engine.worker"


def launch(folder: Path, config: Config | None = None, module: str = WORKER) -> int:
    """Start a worker on the run in `folder` and return its process id.

    The lock is taken here and handed over, so that at no moment the run has a worker and no lock.
    `config`, where given, becomes the run's while the lock is ours. Raises `UserError` where a
    worker is on the run already or the folder can't be written.
    """
    folder = folder.absolute()
    try:
        held = lock.take(folder)
        try:
            if config is not None:
                store.write_config(folder, config)
            worker = _spawn(folder, held, module)
        finally:
            os.close(held)
    except OSError as error:
        raise UserError(f"{plain(folder)}: no worker can be started ({error.strerror}).") from None
    threading.Thread(target=worker.wait, daemon=True, name="reaper").start()  # leave no zombie
    return worker.pid


def _spawn(folder: Path, held: int, module: str) -> subprocess.Popen[bytes]:
    # -P: a file in the current folder must not stand in for a package of the same name.
    command = [sys.executable, "-P", "-m", module, str(folder)]
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    log = os.open(folder / store.LOG, flags, 0o600)
    try:
        os.write(log, f"{store.LOG_HEADING}{time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode())
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[held],
            env={**environment.for_torch(), lock.LOCK_FD: str(held)},
            start_new_session=True,
            umask=0o077,
        )
    finally:
        os.close(log)
