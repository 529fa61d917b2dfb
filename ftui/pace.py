"""How often the app looks at a run and draws it."""

import time

from engine import cores
from engine.runs.client import SECONDS_BETWEEN_LOOKS
from ftui.workspace import Workspace

_BLURRED = 1.0
"""Seconds between two frames where the terminal says that another window has the focus."""
ALONE = 15.0
"""Seconds without a key after which nobody is taken to wait for the next frame."""
_CONSIDERATE = 12.0
"""Seconds between two frames then, of a run that needs all cores. Each frame takes one away for a
while, and what computes on all waits for the last."""


class Pace:
    """Quick while somebody is there, and considerate of a run that it would slow down."""

    def __init__(self, frames_per_second: float) -> None:
        self._usual = 1 / frames_per_second
        self._touched = time.monotonic()
        self.blurred = False
        self.considerate = False
        """Whether the last answer of `seconds` was for the run's sake."""

    def touch(self) -> None:
        """Somebody is there."""
        self._touched = time.monotonic()

    def seconds(self, workspace: Workspace) -> float:
        """Until the next frame; the open run is looked at as often."""
        alone = time.monotonic() - self._touched >= ALONE
        self.considerate = alone and needs_all_cores(workspace)
        usual = max(self._usual, _BLURRED) if self.blurred else self._usual
        for run in (workspace.run, workspace.parent):
            if run is not None:
                run.patience = _CONSIDERATE if self.considerate else SECONDS_BETWEEN_LOOKS
        return max(usual, _CONSIDERATE) if self.considerate else usual


def needs_all_cores(workspace: Workspace) -> bool:
    """Whether the open run computes on all cores that this process could have."""
    state = workspace.state
    return (
        state is not None
        and workspace.standing == "running"
        and workspace.here
        and state.device == "cpu"
        and state.threads >= len(cores.usable())
    )
