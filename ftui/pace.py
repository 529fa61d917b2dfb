"""How often the app looks at a run and draws it."""

import time

from engine import cores
from engine.runs.client import SECONDS_BETWEEN_LOOKS
from ftui.workspace import Workspace

_BLURRED = 1.0
"""Seconds between two frames where the terminal says that another window has the focus."""
ALONE = 15.0
"""Seconds without a key after which nobody is taken to wait for the next frame."""
_WATCHED, _CONSIDERATE = 1.0, 12.0
"""Seconds between two looks at a run that needs all cores, before that and after. Each frame takes
a core away for a while, and what computes on all waits for the last. What somebody does with a key
is drawn at once all the same, and looked for until the worker has answered."""


class Pace:
    """Quick while somebody is there, and considerate of a run that it would slow down."""

    def __init__(self, frames_per_second: float) -> None:
        self._usual = 1 / frames_per_second
        self._touched = time.monotonic()
        self.blurred = False
        self.considerate = False
        """Whether the last answer of `seconds` was long for the run's sake."""

    def touch(self) -> None:
        """Somebody is there."""
        self._touched = time.monotonic()

    def seconds(self, workspace: Workspace) -> float:
        """Until the next frame, where there is news; tells the open run how often to be looked
        at, which is how often there can be any."""
        alone = time.monotonic() - self._touched >= ALONE
        needed = needs_all_cores(workspace)
        spares = needed and not workspace.pending
        self.considerate = spares and alone
        patience = SECONDS_BETWEEN_LOOKS
        if spares:
            patience = _CONSIDERATE if alone else _WATCHED
        for run in (workspace.run, workspace.parent):
            if run is not None:
                run.patience = patience
        usual = max(self._usual, _BLURRED) if self.blurred else self._usual
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
