"""What nobody tells and so must be looked at now and then: the runs' folder and the computer."""

from engine.runs import store
from ftui.workspace import Workspace


def look(workspace: Workspace, *, at_hardware: bool) -> bool:
    """Take over how things are, and whether that is news; takes milliseconds, so use a thread.

    Raises `UserError` where the runs can't be listed.
    """
    found = store.summaries(workspace.runs_dir)
    news = found != workspace.runs
    workspace.runs = found
    if not at_hardware:
        return news
    from engine import hardware  # NVML's bindings take 30 ms that the first frame can't wait for

    seen = hardware.snapshot()
    pid = _local_worker(workspace)
    use = hardware.process(pid) if pid is not None else None
    news = news or (seen, use) != (workspace.hardware, workspace.use)
    workspace.hardware, workspace.use = seen, use
    return news


def gained_worker(workspace: Workspace) -> bool:
    """Whether the list of runs has the open run as living."""
    run = workspace.run
    path = str(run.folder) if run is not None else ""
    living = ("preparing", "running", "paused")
    return any(found.path == path and found.state in living for found in workspace.runs or [])


def _local_worker(workspace: Workspace) -> int | None:
    """Process id of the open run's worker, where it lives on this computer."""
    state = workspace.state
    return state.pid if state is not None and workspace.live and workspace.here else None
