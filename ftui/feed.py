"""From an open run's journal to the screen: the run folds, the screen draws when `changed` says so.

Reading happens in a thread and folding in chunks, so that a long journal holds up no key.
"""

from engine.contract.errors import UserError
from engine.runs.client import Run
from ftui.workspace import Workspace


class Feed:
    """Follows the open run."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.changed = False
        self.following = False
        """Whether a run is being followed: it has a worker, or was not read to its end yet."""

    async def follow(self, run: Run) -> None:
        """Take in what the journal says, until the worker is gone."""
        self.following = True
        try:
            async for _ in run.batches():
                self.changed = True
        except UserError:
            self._workspace.lost = True
        finally:
            self.following = False
            self.changed = True
