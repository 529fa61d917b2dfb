"""How training and validation go together, on one line: overfitting, with the evidence."""

from collections.abc import Sequence

from textual.content import Content
from textual.widget import Widget

from engine.contract.overfitting import Fit, fit_of
from engine.contract.state import RunState
from ftui.workspace import Workspace


class FitLine(Widget):
    """In as many words as there is room for; not there before an epoch was evaluated."""

    DEFAULT_CSS = "FitLine { width: 1fr; height: 1; display: none; }"
    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__()
        self._of: tuple[object, ...] = ()
        self._fit: Fit | None = None
        self._sentences: Sequence[str] = ("",)

    def update_from(self, workspace: Workspace) -> None:
        """Say how it is now."""
        fit = self._fit_of(workspace.state)
        self.display = fit is not None
        said = sentences(fit, "b rewinds" if workspace.live else "B forks") if fit else ("",)
        if said != self._sentences:
            self._sentences = said
            self.refresh()

    def render(self) -> Content:
        width, words = self.size.width, self._sentences
        line = next((x for x in words if len(x) <= width), words[-1])
        return Content.styled(line, ".warn" if self._fit and self._fit.overfits else ".muted")

    @property
    def text(self) -> str:
        """What is to be read on it."""
        return self.render().plain if self.display else ""

    def _fit_of(self, state: RunState | None) -> Fit | None:
        """Looked at anew only after an evaluation: it averages all steps of the run."""
        newest = state.evaluations[-1] if state and state.evaluations else None
        of = id(state), len(state.evaluations) if state else 0, newest
        if of != self._of:
            self._of, self._fit = of, fit_of(state) if state else None
        return self._fit


def sentences(fit: Fit, way_out: str) -> Sequence[str]:
    """The same in fewer and fewer words; `way_out` is a key and what it does about overfitting."""
    return _overfitting(fit, way_out) if fit.overfits else _gap(fit)


def _overfitting(fit: Fit, way_out: str) -> Sequence[str]:
    best, last, epoch = fit.best, fit.last, f"epoch {fit.best.number}"
    low, high = f"{best.validation:.3g}", f"{last.validation:.3g}"
    training = f"{best.training:.3g} -> {last.training:.3g}"
    tight = f"val {best.validation:.2g}->{last.validation:.2g}"
    return (
        f"overfitting: validation loss {low} ({epoch}) -> {high} (epoch {last.number}), training "
        f"{training}; {way_out} to {epoch}, 2 freezes more",
        f"overfitting since {epoch}: validation {low} -> {high}, training {training}; {way_out}",
        f"overfits since {epoch}: {tight}, "
        f"train {best.training:.2g}->{last.training:.2g}; {way_out}",
        f"overfits since {epoch}: {tight}; {way_out}",
        f"overfitting; {way_out}",
    )


def _gap(fit: Fit) -> Sequence[str]:
    last, before = fit.last, fit.before
    gap = f"gap {last.gap:.3g}"
    levels = f"(validation {last.validation:.3g}, training {last.training:.3g})"
    ago = f", {before.gap:.3g} an epoch ago" if before else ""
    return f"train/validation {gap} {levels}{ago}", f"train/validation {gap}{ago}", f"{gap}{ago}"
