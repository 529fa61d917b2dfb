"""The one screen: panes post what was asked, and here it is done."""

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.timer import Timer

from engine.contract import commands as c
from engine.contract.edits import Reinitialise
from engine.contract.errors import UserError
from engine.runs import client
from engine.runs.client import Run
from ftui import polling
from ftui.draft import Draft
from ftui.format import count
from ftui.inspecting import ModelInspector
from ftui.pace import Pace
from ftui.panes.configuration import ConfigurationPane
from ftui.panes.hardware import HardwarePane
from ftui.panes.model import ModelPane
from ftui.panes.modules import ModulesPane, PresetMenu
from ftui.panes.pane import Pane
from ftui.panes.plan import PlanText
from ftui.panes.plots import PlotsPane
from ftui.panes.runs import RunsPane
from ftui.screens.body import Body
from ftui.screens.consent import with_consent
from ftui.screens.help import HelpScreen, sections_of
from ftui.screens.keys import BINDINGS
from ftui.screens.steering import LIVE_ACTIONS, Steering
from ftui.widgets.banner import Banner
from ftui.widgets.cost import CostLines
from ftui.widgets.form import FieldForm
from ftui.widgets.keyline import KeyLine
from ftui.widgets.module_tree import ModuleTree
from ftui.widgets.prompt import Prompt
from ftui.widgets.rewind import RewindMenu
from ftui.widgets.status import StatusLine
from ftui.widgets.tabs import TabLine
from ftui.workspace import Workspace

_SECONDS_BETWEEN_POLLS = 2.0
_PANES = (HardwarePane, PlotsPane, RunsPane, ConfigurationPane)


class MainScreen(Steering):
    """Top line, panes, a line for questions, and the keys."""

    BINDINGS: ClassVar[list[BindingType]] = list[BindingType](BINDINGS)
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("brand", "key", "strong", "muted", "accent", "good", "warn", "bad")
    }

    def __init__(
        self,
        workspace: Workspace,
        inspector: ModelInspector,
        run: Path | None,
        *,
        refresh_rate: float,
        ascii_only: bool,
    ) -> None:
        super().__init__(workspace, inspector)
        self._first_run = run
        self._pace = Pace(refresh_rate)
        self._ascii = ascii_only
        self._inspector = inspector
        self._next_beat: Timer | None = None
        self._polled = time.monotonic()
        self._standing = ""
        self.panes: list[Pane] = [
            ModelPane(ascii_only=ascii_only, inspector=inspector),
            ModulesPane(ascii_only=ascii_only, inspector=inspector),
            *(pane(ascii_only=ascii_only) for pane in _PANES),
        ]
        plots = self.panes[3]
        assert isinstance(plots, PlotsPane)
        plots.frames_per_second = refresh_rate
        self._plot = plots.plot
        self.body = Body(self.panes, self.panes[3 if run else 0])

    # What is shown

    def compose(self) -> ComposeResult:
        yield StatusLine(ascii_only=self._ascii, id="status")
        yield Banner(id="banner")
        yield TabLine([pane.title for pane in self.panes], id="tabs")
        yield self.body
        yield self.rewind_menu
        yield self.prompt
        yield KeyLine(id="keys")

    def on_mount(self) -> None:
        self.set_class(self._ascii, "-ascii")
        self._beat()
        self.call_after_refresh(self._first_frame_shown)
        if self._first_run is not None:
            self.open_run(Run(self._first_run))
        self.action_pane(self.body.active.number)

    def _first_frame_shown(self) -> None:
        if not gc.isenabled():  # the command line put it off
            gc.freeze()
            gc.enable()
        self._poll()

    def show(self) -> None:
        """Bring all that is visible up to date."""
        self.feed.changed = False
        workspace = self.workspace
        workspace.settle()
        with self.app.batch_update():
            self.query_one(StatusLine).update_from(workspace)
            self.query_one(Banner).update_from(workspace)
            for pane in self.panes:
                (pane.update if pane in self.body.visible_panes else pane.keep_up)(workspace)
        if workspace.standing != self._standing:  # other keys make sense now
            self._standing = workspace.standing
            self.refresh_bindings()

    def _tick(self) -> None:
        if self.feed.changed:
            self.show()

    def _beat(self) -> None:
        """Draw what is new, and see when to do so again."""
        if self._next_beat is not None:
            self._next_beat.stop()
        self._tick()
        if time.monotonic() - self._polled >= _SECONDS_BETWEEN_POLLS:
            self._poll()
        self._next_beat = self.set_timer(self._pace.seconds(self.workspace), self._beat)

    def touched(self) -> None:
        """A key was pressed, or the mouse was used."""
        self._pace.touch()
        if self._pace.considerate:
            self._beat()

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(self.body.narrow, "-narrow")
        self._fit()

    @on(Pane.Resized)
    def _fit(self) -> None:
        """Draw again as wide as there is room now; once, however many panes say so."""
        self.feed.changed = True
        self.call_next(self._tick)

    def window_changed(self, in_front: bool) -> None:
        """The terminal says whether its window has the focus."""
        self._pace.blurred = not in_front
        if in_front:
            self._pace.touch()
        self._beat()

    @on(events.DescendantFocus)
    def _focus_moved(self, event: events.DescendantFocus) -> None:
        if self.body.note_focus(event.widget):
            self._show_active()

    def _show_active(self) -> None:
        if isinstance(self.body.active, HardwarePane):
            self._poll()  # it may not have been looked at for long
        self.query_one(TabLine).show(self.body.active.number)
        self.show()

    @work(exclusive=True, group="poll")
    async def _poll(self) -> None:
        """Look at what nobody tells, off the event loop."""
        self._polled = time.monotonic()
        shows_hardware = any(isinstance(pane, HardwarePane) for pane in self.body.visible_panes)
        try:
            await asyncio.to_thread(self._look, shows_hardware)
        except UserError as error:
            self.tell(error)
            return
        run = self.workspace.run
        if run is not None and not self.feed.following and polling.gained_worker(self.workspace):
            self._follow(run)

    def _look(self, at_hardware: bool) -> None:
        """In a thread, which tells its news itself: a newer poll may have taken its place."""
        if polling.look(self.workspace, at_hardware=at_hardware):
            self.feed.changed = True

    @on(HardwarePane.DeviceChosen)
    def _device_chosen(self, event: HardwarePane.DeviceChosen) -> None:
        if self.workspace.run is not None:
            self.tell(UserError("A run stays on its device; n makes a new draft of it."))
        else:
            self.workspace.draft.set_field("training.device", event.device)
            self.show()

    # Runs

    def open_run(self, run: Run) -> None:
        """Show a run, living or ended."""
        self.workspace.open(run)
        self._follow(run)
        self.show()

    def show_run(self, run: Run) -> None:
        self.open_run(run)
        self.action_pane(4)

    @property
    def step_looked_at(self) -> int | None:
        cursor = self._plot.cursor
        return None if cursor is None else round(cursor)

    @work(exclusive=True, group="feed")
    async def _follow(self, run: Run) -> None:
        await self.feed.follow(run)

    @on(RunsPane.Chosen)
    def _run_chosen(self, event: RunsPane.Chosen) -> None:
        self.show_run(Run(event.folder))

    @on(CostLines.Answered)
    def _cost_answered(self) -> None:
        self.feed.changed = True

    @on(ModelPane.Described)
    def _model_described(self, event: ModelPane.Described) -> None:
        if self.workspace.run is None:
            self.workspace.set_model(event.model, event.weights, event.task, event.classes)
            self.show()

    @on(ModelPane.Failed)
    def _model_failed(self, event: ModelPane.Failed) -> None:
        if self.workspace.run is None:
            self.workspace.draft.problem = event.sentence
            self.show()

    @on(FieldForm.Entered)
    def _field_entered(self, event: FieldForm.Entered) -> None:
        try:
            commands = self.workspace.set_field(event.key, event.text)
        except UserError as error:
            event.form.answer(str(error))
        else:
            self.send(commands)
            event.form.answer(None)

    @on(ConfigurationPane.Loaded)
    def _config_loaded(self, event: ConfigurationPane.Loaded) -> None:
        self.workspace.draft = Draft(event.config)
        self.show()

    def action_start(self) -> None:
        """Start a run of the draft."""
        self._once_complete(self._start)

    @on(ConfigurationPane.FindAsked)
    def _find(self, event: ConfigurationPane.FindAsked) -> None:
        """Look for a good value of a setting of the draft."""

        def look() -> None:
            from ftui.finding import Search  # it takes time that the first frame needs
            from ftui.screens.finder import FinderScreen

            search = Search(event.key, self.workspace.config)
            self.app.push_screen(FinderScreen(search, self._inspector, self._ascii), take)

        def take(value: str | None) -> None:
            if value is not None:
                self.workspace.set_field(event.key, value)
                self.show()

        self._once_complete(look)

    @on(ModelPane.AskedAgain)
    def _describe(self) -> None:
        self.workspace.draft.problem = ""
        with_consent(self.workspace, self.prompt, self.show)

    def _once_complete(self, go_on: Callable[[], object]) -> None:
        """Where a run of the draft could start, as `with_consent`; else say what is missing."""
        if missing := self.workspace.draft.missing or self.workspace.draft.idle:
            self.tell(UserError(missing))
        else:
            with_consent(self.workspace, self.prompt, go_on)

    @work(exclusive=True, group="launch")
    async def _start(self) -> None:
        try:
            self.show_run(await client.start(self.workspace.draft.config, self.workspace.runs_dir))
        except UserError as error:
            self.tell(error)

    @work(exclusive=True, group="launch")
    async def resume(self, overrides: Sequence[str] = ()) -> None:
        """Put a new worker on the open run."""
        run = self.workspace.run
        if run is None:
            return
        try:
            self.open_run(await client.resume(run.folder, overrides))
        except UserError as error:
            self.tell(error)

    def action_draft(self) -> None:
        self.workers.cancel_group(self, "feed")
        self.workspace.new_draft()
        self.show()

    @on(Prompt.Closed)
    @on(RewindMenu.Closed)
    def _back_to_pane(self) -> None:
        self.screen.set_focus(self.body.active.target)

    # The plan

    @on(ModuleTree.EditRequested)
    def _edit(self, event: ModuleTree.EditRequested) -> None:
        def edit() -> None:
            self._change_plan(lambda: self.workspace.edit(event.edit, event.paths))

        if event.edit == Reinitialise(True) and self.workspace.live:
            what = count(len(event.paths), "module")
            self.prompt.confirm(f"New weights for {what}? What was learnt there is lost.", edit)
        else:
            edit()

    @on(PlanText.Loaded)
    def _plan_loaded(self, event: PlanText.Loaded) -> None:
        self._change_plan(lambda: self.workspace.adopt(event.plan))

    @on(PresetMenu.Chosen)
    def _preset(self, event: PresetMenu.Chosen) -> None:
        self._change_plan(lambda: self.workspace.preset(event.method))

    def action_undo(self) -> None:
        self._change_plan(self.workspace.undo)

    def action_redo(self) -> None:
        self._change_plan(self.workspace.redo)

    def _change_plan(self, change: Callable[[], Sequence[c.AnyCommand]]) -> None:
        try:
            commands = change()
        except UserError as error:
            self.tell(error)
            return
        self.send(commands)

    def action_data(self) -> None:
        """Show the data of the draft, or of the open run."""
        from ftui.screens.data import DataScreen  # it takes time that the first frame needs

        self.app.push_screen(DataScreen(self.workspace, self._inspector, self._ascii))

    # Moving about

    def action_pane(self, number: int) -> None:
        self.body.activate(self.panes[number - 1])
        self._show_active()

    def action_step(self, panes: int) -> None:
        visible = self.panes if self.body.single else self.body.visible_panes
        at = visible.index(self.body.active)
        self.action_pane(visible[(at + panes) % len(visible)].number)

    @on(TabLine.Chosen)
    def _tab_chosen(self, event: TabLine.Chosen) -> None:
        self.action_pane(event.number)

    def action_zoom(self) -> None:
        self.body.toggle_zoom()
        self.show()

    def action_help(self) -> None:
        others = [pane for pane in self.panes if pane is not self.body.active]
        self.app.push_screen(HelpScreen(sections_of(self, [self.body.active, *others])))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in LIVE_ACTIONS:
            return self.workspace.live
        if action == "resume":
            return self.workspace.ended
        if action in ("fork", "norms"):
            return self.workspace.live or self.workspace.ended
        if action == "baseline":
            return self.workspace.config.task == "text-classification"
        if action == "texts":
            return bool(self.workspace.state and self.workspace.state.generated)
        if action == "predictions":
            return bool(self.workspace.state and self.workspace.state.predictions)
        if action in ("start", "draft"):
            return (self.workspace.run is None) == (action == "start")
        return True
