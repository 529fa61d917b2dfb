"""A child in a pseudo-terminal, and what it costs: CPU seconds, and bytes written."""

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence

import psutil

from tests.benchmarks.peak import peak_memory

OURS = "import sys; sys.argv[0] = 'ftui'; from ftui.cli import main; main()"
"""The command line as code, which needs no script to be installed."""


class Child:
    """A process that believes it has a terminal of `columns` by `rows`."""

    def __init__(
        self, command: Sequence[str], columns: int, rows: int, env: Mapping[str, str] | None = None
    ) -> None:
        self.fd, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        settings = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": "", "LINES": ""}
        environment = {**os.environ, **settings, **(env or {})}
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        self.received = 0
        self.recent = b""

    def read(self, seconds: float) -> bool:
        """Take what comes within `seconds`; whether there was something."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        data = os.read(self.fd, 1 << 16)
        self.received += len(data)
        self.recent = (self.recent + data)[-(1 << 18) :]
        return True

    def send(self, keys: str) -> None:
        """Press keys."""
        os.write(self.fd, keys.encode())

    def read_until(self, text: str, give_up: float = 60.0) -> float:
        """Seconds until `text` was written."""
        started = time.perf_counter()
        while text.encode() not in self.recent:
            self.read(0.01)
            if time.perf_counter() - started > give_up:
                raise SystemExit(f"{text!r} never came")
        return time.perf_counter() - started

    def read_for(self, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Take what comes for so long."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self.read(min(left, 0.01))
            meanwhile()

    def read_until_quiet(self, seconds: float, give_up: float = 30.0) -> None:
        """Until nothing came for so long; on a busy machine the hardware's figures never rest."""
        end = time.perf_counter() + give_up
        while self.read(seconds) and time.perf_counter() < end:
            pass

    @property
    def cpu(self) -> float:
        """Seconds of user and system time so far."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    @property
    def peak_memory(self) -> int:
        """Bytes that were resident at most."""
        return peak_memory(self.process.pid)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            os.close(self.fd)
