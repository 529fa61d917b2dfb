"""A real terminal to drive: tmux on a socket of its own."""

import subprocess
import time
import uuid
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds until a condition that never comes is given up; a way out, not a measure."""


def wait_until(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    """Poll `condition`; fail with `what()` when it never comes."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(what())
        time.sleep(0.05)


class Terminal:
    """One tmux server with one session."""

    def __init__(self, command: str, env: dict[str, str], width: int = 120, height: int = 40):
        self._socket = f"ftui-{uuid.uuid4().hex[:8]}"
        self._env = env
        start = ("new-session", "-d", "-x", str(width), "-y", str(height), command)
        keep = ("set-option", "-g", "remain-on-exit", "on")
        size = ("set-option", "-g", "default-size", f"{width}x{height}")  # else 80x24 comes back
        self._tmux("-f", "/dev/null", *start, ";", *keep, ";", *size)

    def press(self, *keys: str) -> None:
        """Send keys by tmux's names (`Enter`, `Space`, `C-p`), or single characters."""
        self._tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)

    @property
    def screen(self) -> str:
        """What is shown, and the line above: tmux scrolls by one to say that the program ended."""
        return self._tmux("capture-pane", "-p", "-S", "-1")

    @property
    def dead(self) -> bool:
        """Whether the program in it has ended."""
        return self._tmux("display-message", "-p", "#{pane_dead}").strip() == "1"

    def wait_for(self, *texts: str) -> str:
        """The screen, once it shows all of `texts`."""
        wait_until(
            lambda: all(text in self.screen for text in texts),
            lambda: f"never on screen: {texts}\n{self.screen}",
        )
        return self.screen

    def kill_server(self) -> None:
        """End tmux with everything it holds, as a reboot of the login node would."""
        subprocess.run(["tmux", "-L", self._socket, "kill-server"], check=False)

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._socket, *words],
            env=self._env,  # and nothing of ours, such as COLUMNS, which apps believe
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout
