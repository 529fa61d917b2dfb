"""Runs as folders: where they live, how they are named, found and summed up."""

import os
import re
import shutil
import time
from pathlib import Path
from typing import Literal

from msgspec import Struct

from engine.contract import toml
from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.order import LIVE, Phase
from engine.contract.paths import expand
from engine.contract.state import RunState
from engine.contract.text import nearest, plain
from engine.runs import lock
from engine.runs.journal import COMMANDS, event_tail
from engine.runs.sketch import Sketch

CONFIG = "config.toml"
LOG = "worker.log"
LOG_HEADING = "# worker started "

Status = Literal["preparing", "running", "paused", "stopped", "finished", "failed", "crashed"]

_NAMED = 5


class RunSummary(Struct, frozen=True):
    """One run as `ftui ls --json` tells it: fields are added, never renamed or taken away."""

    name: str
    path: str
    """The run's folder, absolute."""
    state: Status
    step: int
    """Finished optimizer steps."""
    total_steps: int
    """0 until the data is known."""
    epoch: int
    epochs: int
    best: dict[str, float]
    """Metric name to its best value so far: val_loss, and val_ with each figure of the task."""
    model: str
    data: str
    started: float | None
    """Seconds since 1970."""
    updated: float | None
    """Time of the newest event, in seconds since 1970."""
    pid: int | None
    """Of the newest worker, on `host`."""
    host: str
    error: str
    """Why a run failed or crashed, where that is known."""
    skipped: int
    """Pictures that could not be used."""
    parent: str
    """The folder of the run that this one is a fork or a replay of, absolute; empty for none."""
    task: str
    """What is learned; empty where that is not known yet."""
    best_model: dict[str, float]
    """As `best`, of the one model that is kept; each figure of it may have been better once."""


def runs_dir(given: Path | None = None) -> Path:
    """`given`, or FTUI_RUNS, or ./runs; absolute."""
    return expand(given or os.environ.get("FTUI_RUNS") or "runs").absolute()


def create(config: Config, runs: Path | None = None) -> Path:
    """A new private folder with `config.toml` and no commands yet, named by date, model and data.

    Raises `UserError` where it can't be written.
    """
    parent = runs_dir(runs)
    stem = "-".join([time.strftime("%Y-%m-%d"), _slug(config.model.name), _slug(config.data.path)])
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = _new_folder(parent, stem)
        try:
            write_config(folder, config)
            (folder / COMMANDS).touch(mode=0o600)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError as error:
        raise UserError(
            f"{plain(parent)}: no run can be created there ({error.strerror})."
        ) from None
    return folder


def write_config(folder: Path, config: Config) -> None:
    """Put `config` in the run's folder, whole or not at all. Raises `OSError`."""
    temporary = folder / f".{CONFIG}.{os.getpid()}"
    try:
        temporary.touch(mode=0o600)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(toml.dump(config))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / CONFIG)
    finally:
        temporary.unlink(missing_ok=True)


def find(name: str | Path, runs: Path | None = None) -> Path:
    """The run that is a folder, a name or the beginning of one name only; absolute.

    Raises `UserError` where there is none or more than one, naming candidates.
    """
    folder = expand(name).absolute()
    if is_run(folder):
        return folder
    parent = runs_dir(runs)
    names = [folder.name for folder in _folders(parent)]
    asked = str(name).rstrip("/")
    fits = [asked] if asked in names else sorted(n for n in names if n.startswith(asked))
    if len(fits) == 1:
        return parent / fits[0]
    if fits:
        raise UserError(f'"{plain(asked)}" may be any of {_listed(fits)}; give more of the name.')
    close = [n for n in names if asked in n] or nearest(asked, names, _NAMED)
    meant = f"; did you mean {_listed(close)}?" if close else "."
    raise UserError(f'There is no run "{plain(asked)}" in {plain(parent)}{meant}')


def is_run(folder: Path) -> bool:
    """Whether `folder` holds a run that we may look into."""
    try:
        return (folder / CONFIG).is_file()
    except OSError:  # another user's, or no possible name
        return False


def status(phase: Phase, hold: lock.Hold) -> Status:
    """What a run is doing, from its journal and its lock together."""
    if hold.silent or phase == "new":
        return "preparing" if hold.held else "crashed"
    if phase in LIVE and not hold.held:
        return "crashed"
    return phase


def state_of(folder: Path) -> tuple[RunState, Status]:
    """Everything the journal says, and what the run is doing. Raises `UserError`."""
    hold = lock.look(folder)
    tail, state = event_tail(folder), RunState()
    while events := tail.chunk():
        state.apply_all(events)
    return state, status(state.phase, hold)


def last_words(folder: Path) -> str:
    """The last line that the newest worker wrote to its log; empty where it wrote none."""
    try:
        with (folder / LOG).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 8192))
            lines = log.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    said = next((line for line in reversed(lines) if line.strip()), "")
    return "" if said.startswith(LOG_HEADING) else plain(said)


def summaries(runs: Path | None = None) -> list[RunSummary]:
    """All runs, newest first; one whose journal can't be read has an `error` that says so.

    Journals are read once a process, then only what was added.
    """
    found = [_summary(folder) for folder in _folders(runs_dir(runs))]
    return sorted(found, key=lambda run: (_begun(run), run.name), reverse=True)


_sketches: dict[Path, Sketch] = {}


def _summary(folder: Path) -> RunSummary:
    hold = lock.look(folder)
    try:
        state, unreadable = _sketches.setdefault(folder, Sketch(folder)).update(), ""
    except UserError as error:
        state, unreadable = RunState(), str(error)
    config = state.config or _config(folder)
    now = status(state.phase, hold)
    return RunSummary(
        name=folder.name,
        path=str(folder),
        state=now,
        step=state.step,
        total_steps=state.total_steps,
        epoch=state.epoch,
        epochs=state.epochs or (config.training.epochs if config else 0),
        best=state.best,
        model=config.model.name if config else "",
        data=config.data.path if config else "",
        started=state.started,
        updated=state.updated,
        pid=state.pid,
        host=state.host,
        error=unreadable or (last_words(folder) if now == "crashed" else state.error),
        skipped=state.skipped_count,
        parent=state.parent.parent if state.parent else "",
        task=config.task if config else "",
        best_model=_of_model(state),
    )


def _of_model(state: RunState) -> dict[str, float]:
    if (kept := state.kept) is None:
        return {}
    known = {f"val_{key}": value for key, value in kept.figures.items()}
    return known if kept.loss is None else {"val_loss": kept.loss, **known}


def _config(folder: Path) -> Config | None:
    try:
        return toml.load(folder / CONFIG)
    except UserError:
        return None


def _begun(run: RunSummary) -> float:
    if run.started:
        return run.started
    try:
        return (Path(run.path) / CONFIG).stat().st_mtime
    except OSError:  # deleted meanwhile
        return 0.0


def _folders(parent: Path) -> list[Path]:
    try:
        return [entry for entry in parent.iterdir() if is_run(entry)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"{plain(parent)}: runs can't be listed ({error.strerror}).") from None


def _new_folder(parent: Path, stem: str) -> Path:
    number = 1
    while True:
        folder = parent / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            number += 1
        else:
            return folder


def _slug(path: str) -> str:
    """The last part of a model's name or a data path, as a part of a file name."""
    last = expand(path).absolute().name
    return re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-")[:40] or "x"


def _listed(names: list[str]) -> str:
    shown = ", ".join(plain(name) for name in names[:_NAMED])
    more = len(names) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown
