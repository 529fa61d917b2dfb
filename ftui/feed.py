"""From an open run's journal to the screen: the run folds, the screen draws when `changed` says so.

Reading happens in a thread and folding in chunks, so that a long journal holds up no key.
"""

import asyncio
from pathlib import Path

from engine.contract.errors import UserError
from engine.runs import store
from engine.runs.client import Run
from ftui.workspace import Workspace


class Feed:
    """Follows the open run, and the one that it is a fork of."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.changed = False
        self.following = False
        """Whether a run is being followed: it has a worker, or was not read to its end yet."""

    async def follow(self, run: Run) -> None:
        """Take in what the journals say, until the workers are gone."""
        async with asyncio.TaskGroup() as group:
            await self._follow_run(run, group)

    async def _follow_run(self, run: Run, group: asyncio.TaskGroup) -> None:
        self.following, run.caught_up = True, False  # one that was followed before is read anew
        parent: asyncio.Task[None] | None = None
        try:
            async for _ in run.batches():
                self.changed = True
                if parent is None and run.state.parent:
                    parent = group.create_task(self._follow_parent(run))
        except UserError:
            self._workspace.lost = True
        finally:
            self.following = False
            self.changed = True

    async def _follow_parent(self, run: Run) -> None:
        """Its curves are a background: without them the fork is shown all the same."""
        folder = await asyncio.to_thread(parent_folder, run)
        if folder is None:
            return
        self._workspace.parent = parent = Run(folder)
        try:
            async for _ in parent.batches():
                self.changed = True
        except UserError:
            self._workspace.parent = None
            self.changed = True


def parent_folder(run: Run) -> Path | None:
    """Where the run is that `run` is a fork of, also where both were moved together."""
    told = run.state.parent
    if told is None:
        return None
    folder = Path(told.parent)
    places = (folder, run.folder.parent / folder.name)
    return next((place for place in places if store.is_run(place)), None)
