"""What the open run's worker is asked for, and the runs that are made of the open one's past.

Screens that come later are imported when they are opened: the first frame does not wait for them.
"""

import asyncio
import math
from collections.abc import Sequence

from textual import on, work
from textual.screen import Screen

from engine.contract import commands as c
from engine.contract.errors import UserError
from engine.contract.training_tables import HIGHEST_LR
from engine.runs import client
from engine.runs.client import Run
from ftui.feed import Feed
from ftui.format import baseline_text
from ftui.inspecting import ModelInspector
from ftui.screens.texts import TextsScreen
from ftui.widgets.prompt import Prompt
from ftui.widgets.rewind import RewindMenu
from ftui.workspace import Workspace

LIVE_ACTIONS = {"pause", "rate", "rewind", "evaluate", "checkpoint", "stop"}
"""Those that a worker must be there for."""


class Steering(Screen[None]):
    """A screen that shows a run and asks for changes of it."""

    def __init__(self, workspace: Workspace, inspector: ModelInspector) -> None:
        super().__init__()
        self.workspace, self.inspector = workspace, inspector
        self.feed = Feed(workspace)
        self.prompt = Prompt(id="prompt")
        self.rewind_menu = RewindMenu()

    def show(self) -> None:
        """Bring all that is visible up to date."""
        raise NotImplementedError

    def show_run(self, run: Run) -> None:
        """Open a run and go to its curves."""
        raise NotImplementedError

    def resume(self, overrides: Sequence[str] = ()) -> object:
        """Put a new worker on the open run, with `key=value` changes."""
        raise NotImplementedError

    @property
    def step_looked_at(self) -> int | None:
        """The step under the plot's cursor; None without one."""
        raise NotImplementedError

    def tell(self, error: UserError) -> None:
        """A sentence in a corner."""
        self.notify(str(error), severity="warning", markup=False)

    # Commands

    def send(self, commands: Sequence[c.AnyCommand]) -> None:
        """Have the open run's worker obey; commands are pending until the journal answers."""
        run = self.workspace.run
        for command in commands if run is not None else ():
            self.workspace.pending[command.id] = command
            self._send(run, command)
        self.show()

    @work(group="send")
    async def _send(self, run: Run, command: c.AnyCommand) -> None:
        try:
            await run.send(command)
        except UserError as error:
            self.workspace.pending.pop(command.id, None)
            self.feed.changed = True
            self.tell(error)

    def action_pause(self) -> None:
        self.send([c.Resume() if self.workspace.standing == "paused" else c.Pause()])

    def action_evaluate(self) -> None:
        self.send([c.Evaluate()])

    def action_checkpoint(self) -> None:
        self.send([c.Checkpoint()])

    def action_stop(self) -> None:
        self.prompt.confirm("Stop this run? It is saved and can be resumed.", self._stop)

    def _stop(self) -> None:
        self.send([c.Stop()])

    def action_rate(self) -> None:
        state = self.workspace.state
        lr = state.base_lr if state else None
        self.prompt.ask("Base learning rate", f"{lr:g}" if lr else "", self._set_rate)

    def _set_rate(self, typed: str) -> None:
        try:
            lr = float(typed)
        except ValueError:
            lr = math.nan
        if not 0 < lr <= HIGHEST_LR:
            raise UserError("A number above 0, such as 0.001.")
        self.send([c.SetLearningRate(lr)])

    def action_resume(self) -> None:
        """Go on with the open run; one that is finished is given epochs first."""
        state = self.workspace.state
        if state is None or self.workspace.standing != "finished":
            self.resume()
            return
        early = state.early_stopped is not None
        offered = state.epochs if early and state.epochs > state.epoch else 2 * state.epoch
        label = "Early stopping counts anew; train to epoch" if early else "Train to epoch"
        self.prompt.ask(label, str(offered), self._go_on_to)

    def _go_on_to(self, typed: str) -> None:
        state = self.workspace.state
        done = state.epoch if state else 0
        if not typed.strip().isdecimal() or int(typed) <= done:
            raise UserError(f"A whole number above {done}.")
        self.resume([f"training.epochs={int(typed)}"])

    def action_norms(self) -> None:
        """Show the relative gradient norms, which may be measured from there."""
        from ftui.screens.norms import NormsScreen

        ascii_only = self.has_class("-ascii")
        self.app.push_screen(NormsScreen(self.workspace, self._measure_norms, ascii_only))

    def _measure_norms(self) -> None:
        self.send([c.AutoRGN()])

    def action_texts(self) -> None:
        """Show the texts that were generated."""
        self.app.push_screen(TextsScreen(self.workspace))

    # What there is without a network

    @work(exclusive=True, group="baseline")
    async def action_baseline(self) -> None:
        """Fit TF-IDF on the texts of the draft or the run; the result is kept for the session."""
        config = self.workspace.config
        missing = self.workspace.draft.missing if self.workspace.run is None else ""
        if missing:
            self.tell(UserError(missing))
            return
        self.notify("Fitting TF-IDF with logistic regression ...", markup=False)
        try:
            found = await self.inspector.baseline(config)
        except UserError as error:
            self.tell(error)
            return
        self.workspace.keep_baseline(config, found)
        self.notify(baseline_text(found), title="Baseline", timeout=15, markup=False)
        self.show()

    def action_predictions(self) -> None:
        """Show what the model said of the validation data."""
        from ftui.screens.predictions import PredictionsScreen

        ascii_only = self.has_class("-ascii")
        self.app.push_screen(PredictionsScreen(self.workspace, self.inspector, ascii_only))

    # Back, and another way from there

    def action_rewind(self) -> None:
        """Offer the checkpoints; begin at the one before the plot's cursor, or where it turned."""
        try:
            self.rewind_menu.open(self.workspace, self.step_looked_at)
        except UserError as error:
            self.tell(error)

    @on(RewindMenu.Chosen)
    def _rewind_chosen(self, event: RewindMenu.Chosen) -> None:
        self.prompt.confirm(
            f"Go back to step {event.step:,}? What came after it is given up.",
            lambda: self.send([c.Rewind(event.step)]),
        )

    @work(exclusive=True, group="launch")
    async def action_fork(self) -> None:
        """Start a run that goes on otherwise from the plot's cursor, or from the newest step."""
        from engine.runs.fork import config_at
        from ftui.screens.fork import ForkScreen

        run, state = self.workspace.run, self.workspace.state
        if run is None or state is None:
            return
        cursor = self.step_looked_at
        step = state.step if cursor is None else min(cursor, state.step)
        try:
            config, _ = await asyncio.to_thread(config_at, run.folder, step)
            changes = await self.app.push_screen_wait(ForkScreen(run.folder.name, step, config))
            if changes is not None:
                runs_dir = self.workspace.runs_dir
                self.show_run(await client.fork(run.folder, step, changes, runs_dir))
        except UserError as error:
            self.tell(error)
