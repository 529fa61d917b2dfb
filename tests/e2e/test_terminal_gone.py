"""A terminal that goes without a word, as under nohup or setsid, takes the app with it."""

import os
import pty
import subprocess

import pytest

from tests.e2e.conftest import Home
from tests.e2e.terminal import PATIENCE

pytestmark = pytest.mark.slow


def test_the_app_ends_with_its_terminal_also_without_sighup(home: Home) -> None:
    terminal, inner = pty.openpty()
    app = subprocess.Popen(
        [home.command],
        cwd=home.folder,
        env=home.env,
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,  # it is not its controlling terminal, so nobody sends SIGHUP
    )
    os.close(inner)
    seen = b""
    while b"Model" not in seen:
        seen += os.read(terminal, 1 << 16)
    os.close(terminal)
    try:
        app.wait(PATIENCE)
    finally:
        app.kill()
