"""What a person must know of a run that doesn't just run, in words."""

from pathlib import Path

from textual.content import Content
from textual.widgets import Static

from engine.contract.state import RunState
from engine.contract.tasks import TASKS
from engine.contract.text import plain
from ftui.format import count, delivered, measured, number, size
from ftui.paths import near
from ftui.workspace import Workspace


class Banner(Static):
    """Up to three lines below the top line; not there while there is nothing to say."""

    DEFAULT_CSS = "Banner { height: auto; max-height: 3; padding: 0 1; display: none; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, markup=False)
        self._said: tuple[str, str] = ("", "")

    def update_from(self, workspace: Workspace) -> None:
        """Say what there is to say."""
        said = sentence(workspace)
        if said != self._said:
            self._said = said
            text, style = said
            self.display = bool(text)
            self.update(Content.styled(text, style))

    @property
    def text(self) -> str:
        return self._said[0]


def sentence(workspace: Workspace) -> tuple[str, str]:
    """What is to be said, and its style; empty where there is nothing."""
    run = workspace.run
    if run is None:
        return "", ""
    state, folder = run.state, run.folder
    at = f"at step {state.step:,}"
    if state.total_steps:
        at += f" of {state.total_steps:,}"
    match workspace.standing:
        case "crashed":
            why = f" ({run.last_words})" if run.last_words else ""
            return f"The worker is gone, {at}{why}. R resumes from the last checkpoint.", ".bad"
        case "lost":
            return f"{plain(folder)} can't be read any more.", ".bad"
        case "failed":
            log = "" if state.error_by_user else f" See {plain(folder / 'worker.log')}."
            return f"Failed {at}: {_closed(plain(state.error))}{log} R tries again.", ".bad"
        case "stopped":
            by = f"by {plain(state.stopped_by)} " if state.stopped_by != "command" else ""
            return f"Stopped {by}{at}. R goes on from there.", ".muted"
        case "finished":
            result = f"{_result(state)}{_tfidf(workspace)}"
            return f"{_end(state)}{result}.{_model(folder, state)}", ".good"
    return _concern(state)


def _closed(text: str) -> str:
    """With a full stop, where what a library said has none."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _end(state: RunState) -> str:
    if early := state.early_stopped:
        waited = count(early.patience, "evaluation")
        return f"Stopped early: {early.metric} was not better for {waited}"
    return f"Finished after {count(state.epochs, 'epoch')}"


def _result(state: RunState) -> str:
    """Of the finished model."""
    words = delivered(state)
    if not words:
        return ""
    words = f": {words}"
    if state.data and (baseline := state.data.baseline):
        value = measured(state.task.figures[baseline.figure], baseline.value)
        words += f"; {plain(baseline.how)} gives {value}"
    return words


def _tfidf(workspace: Workspace) -> str:
    """What it comes to, where it was fitted in this session."""
    if (found := workspace.baseline) is None:
        return ""
    known = TASKS["text-classification"]
    return f", TF-IDF {measured(known.figures[known.main], found.tfidf[known.main])}"


def _rolled_back(state: RunState) -> list[str]:
    """The newest of the guard's roll-backs."""
    if not state.rollbacks:
        return []
    last, times = state.rollbacks[-1], len(state.rollbacks)
    again = f" ({count(times, 'roll-back')} so far)" if times > 1 else ""
    return [
        f"Rolled back from step {last.from_step:,} to {last.step:,}, since "
        f"{plain(last.reason)}; the base rate is {number(last.lr)} from there{again}."
    ]


def _model(folder: Path, state: RunState) -> str:
    """Where the finished model is."""
    if (saved := state.saved_model) is None:
        return ""
    path, what = near(folder / saved.path), f"{saved.weights}, {size(saved.size)}"
    return f" The model ({plain(what)}) is {plain(path)}."


def _concern(state: RunState) -> tuple[str, str]:
    """What the guard did, the newest warning, and how much was left out or cut."""
    said = _rolled_back(state)
    said += [plain(state.warnings[-1])] if state.warnings else []
    if len(state.warnings) > 1:
        said.append(f"({count(len(state.warnings) - 1, 'warning')} before that.)")
    if state.pieces > 1:
        said.append(
            f"Memory is short: each batch goes through in {state.pieces} pieces, the steps stay "
            "what they were."
        )
    if state.skipped_count:
        first = state.skipped[0]
        said.append(
            f"{count(state.skipped_count, 'picture')} skipped, "
            f"the first {plain(first.path)}: {plain(first.reason)}"
        )
    return " ".join(said), ".warn"
