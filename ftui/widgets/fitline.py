"""How training and validation go together, on one line: overfitting, with the evidence."""

from collections.abc import Sequence

from textual.content import Content

from engine.contract.overfitting import Fit, fit_of
from engine.contract.state import RunState
from ftui.widgets.figure import Figure
from ftui.workspace import Workspace


class FitLine(Figure):
    """Not there before the first epoch was evaluated."""

    DEFAULT_CSS = "FitLine { width: 1fr; display: none; }"

    def __init__(self) -> None:
        super().__init__()
        self._of: tuple[object, ...] = ()
        self._fit: Fit | None = None

    def update_from(self, workspace: Workspace) -> None:
        """Say it in as many words as there is room for."""
        state = workspace.state
        self.display = bool(state and state.evaluations)
        if state is None or not state.evaluations:
            return
        fit = self._fit_of(state)
        way_out = "b rewinds" if workspace.live else "B forks"
        words = sentences(fit, way_out) if fit else [""]
        line = next((x for x in words if len(x) <= self.size.width), words[-1])
        self.show(Content.styled(line, ".warn" if fit and fit.overfits else ".muted"))

    def _fit_of(self, state: RunState) -> Fit | None:
        """Looked at anew only after an evaluation: it averages all steps of the run."""
        of = id(state), len(state.evaluations), state.evaluations[-1]
        if of != self._of:
            self._of, self._fit = of, fit_of(state)
        return self._fit


def sentences(fit: Fit, way_out: str) -> Sequence[str]:
    """The same in fewer and fewer words; `way_out` is a key and what it does about overfitting."""
    return _overfitting(fit, way_out) if fit.overfits else _gap(fit)


def _overfitting(fit: Fit, way_out: str) -> Sequence[str]:
    best, last = fit.best, fit.last
    low, high = short(best.validation), short(last.validation)
    training = f"{short(best.training)} -> {short(last.training)}"
    epoch = f"epoch {best.number}"
    return (
        f"overfitting: validation loss {low} ({epoch}) -> {high} (epoch {last.number}), training "
        f"{training}; {way_out} to {epoch}, 2 freezes more",
        f"overfitting since {epoch}: validation {low} -> {high}, training {training}; {way_out}",
        f"overfitting since {epoch}: val {low} -> {high}, train {training}; {way_out}",
        f"overfitting since {epoch}: val {low} -> {high}; {way_out}",
        f"overfitting; {way_out}",
    )


def _gap(fit: Fit) -> Sequence[str]:
    last, before = fit.last, fit.before
    gap = f"gap {short(last.gap)}"
    levels = f"(validation {short(last.validation)}, training {short(last.training)})"
    ago = f", {short(before.gap)} an epoch ago" if before else ""
    return f"train/validation {gap} {levels}{ago}", f"train/validation {gap}{ago}", f"{gap}{ago}"


def short(loss: float) -> str:
    """Three significant digits."""
    return f"{loss:.3g}"
