"""What the app holds: the draft of a run, the open run, and what was asked of its worker.

No Textual here. Panes read it, messages of panes lead to calls of it, and what a call returns (a
command) the screen sends. Whatever a user can mend is raised as `UserError`.
"""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from engine.contract import planfile
from engine.contract.commands import AnyCommand, Freeze, PlanCommand, SetPlan, SetStages, Thaw
from engine.contract.config import Config, own_module
from engine.contract.edits import Adapt, Edit, adapted, edited, without_adapters
from engine.contract.errors import UserError
from engine.contract.events import CheckpointSaved
from engine.contract.inspection import TextBaseline
from engine.contract.methods import METHODS
from engine.contract.plan import effective, with_rule
from engine.contract.planfile import Plan
from engine.contract.rules import Rule, Stage
from engine.contract.state import RunState
from engine.contract.timeline import config_in_force
from engine.contract.tree import ModelInfo
from engine.runs.client import Run
from engine.runs.store import RunSummary, Status
from ftui.draft import Draft
from ftui.history import History
from ftui.settings import live_command

if TYPE_CHECKING:
    from engine.hardware import Hardware, ProcessUse

Standing = Status | Literal["draft", "reading", "lost"]
"""How what is shown stands; `reading`: its journal is not read to the end yet, so nobody knows;
`lost`: the run's folder is gone."""


class Workspace:
    """The draft, and the run that is open, if one is."""

    def __init__(self, runs_dir: Path) -> None:
        self.runs_dir = runs_dir
        self.draft = Draft()
        self.run: Run | None = None
        """The open run; None while the draft is shown."""
        self.parent: Run | None = None
        """The run that the open one is a fork of, where that is found."""
        self.lost = False
        """Whether the open run's folder is gone."""
        self.standing: Standing = "draft"
        self.runs: list[RunSummary] | None = None
        """All runs, newest first; None until they were listed."""
        self.hardware: Hardware | None = None
        """None until it was looked at."""
        self.use: ProcessUse | None = None
        """What the open run's worker takes."""
        self.pending: dict[str, AnyCommand] = {}
        """Commands that the worker has not answered yet, by id."""
        self.allowed: set[Path] = set()
        """Files of the user's own code that may run, as was said in this session."""
        self._run_history = History()
        self._baselines: dict[tuple[object, ...], TextBaseline] = {}
        """By what decides the texts and their split."""
        self._longest: dict[tuple[object, ...], int] = {}
        """By what decides their tokens."""

    # The open run

    def open(self, run: Run) -> None:
        """Show a run instead of the draft."""
        self.run, self.parent, self.lost, self.standing = run, None, False, "reading"
        self.pending, self._run_history = {}, History()

    def close(self) -> None:
        """Show the draft again; the run itself goes on."""
        self.run, self.parent, self.lost, self.standing = None, None, False, "draft"
        self.pending = {}

    @property
    def state(self) -> RunState | None:
        """The open run's fold; None while the draft is shown."""
        return self.run.state if self.run is not None else None

    @property
    def checkpoints(self) -> list[CheckpointSaved]:
        """Those of the open run that are still on the disk, one a step, the newest first."""
        if self.run is None:
            return []
        try:
            kept = {path.name for path in (self.run.folder / "checkpoints").iterdir()}
        except OSError:
            return []
        newest = {saved.step: saved for saved in self.run.state.checkpoints}
        there = [saved for saved in newest.values() if Path(saved.path).name in kept]
        return sorted(there, key=lambda saved: saved.step, reverse=True)

    def settle(self) -> None:
        """Take over what the journal has told since: answers, how the run stands, a new plan."""
        if self.run is None:
            return
        state = self.run.state
        known: Standing = self.run.status if self.run.caught_up else "reading"
        self.standing = "lost" if self.lost else known
        unanswered = state.unanswered(list(self.pending.values()))
        self.pending = {command.id: command for command in unanswered if self.live}
        if state.rules:
            self._run_history.see(Plan(state.rules))

    @property
    def live(self) -> bool:
        """Whether a worker is on the open run."""
        return self.standing in ("preparing", "running", "paused")

    @property
    def here(self) -> bool:
        """Whether the open run's newest worker was started on this computer."""
        return self.state is not None and self.state.host == socket.gethostname()

    @property
    def ended(self) -> bool:
        """Whether the open run can be resumed."""
        return self.standing in ("stopped", "finished", "failed", "crashed")

    def new_draft(self) -> None:
        """Close the run; what is in force in it is the new draft."""
        state, config, classes = self.state, self.config, self.classes
        self.close()
        if state is not None and state.config is not None:
            self.draft = Draft(config, state.model)
            self.draft.classes = classes

    @property
    def config(self) -> Config:
        """What is in force in the open run, or the draft's."""
        if self.state is None:
            return self.draft.config
        return config_in_force(self.state) or self.state.config or self.draft.config

    def keep_baseline(self, config: Config, found: TextBaseline) -> None:
        """For the session."""
        self._baselines[_texts_of(config)] = found

    @property
    def baseline(self) -> TextBaseline | None:
        """Of the texts of the open run or the draft, where it was fitted in this session."""
        return self._baselines.get(_texts_of(self.config))

    def keep_longest(self, config: Config, tokens: int) -> None:
        """Of the texts of a config, as its model reads them; for the session."""
        self._longest[_tokens_of(config)] = tokens

    @property
    def longest(self) -> int | None:
        """Tokens of the longest text of the open run or the draft, where the run has told or they
        were looked at in this session."""
        told = self.state.longest if self.state is not None else None
        return told or self._longest.get(_tokens_of(self.config))

    def set_field(self, key: str, text: str) -> list[AnyCommand]:
        """Set what a person typed: done in a draft, else the commands to send.

        Raises `UserError` where it does not fit, or can't be changed now.
        """
        if self.state is None:
            if wrong := self.draft.set_field(key, text):
                raise UserError(wrong)
            return []
        self._must_live()
        return [live_command(self.config, key, text)]

    # The model and its plan

    @property
    def model(self) -> ModelInfo | None:
        """Of the open run, or of the draft."""
        return self.state.model if self.state is not None else self.draft.model

    @property
    def rules(self) -> list[Rule]:
        """The plan in force, or that a run of the draft would start with; [] without a model."""
        if self.model is None:
            return []
        if self.state is None:
            return effective(self.draft.config.trainable, self.model)
        asked = self.state.config.trainable if self.state.config else []
        return self.state.rules or effective(asked, self.model)

    @property
    def wanted_rules(self) -> list[Rule]:
        """The plan as it will be once the worker has done all that was sent."""
        rules = self.rules
        for command in self.pending.values():
            match command:
                case Freeze(pattern=pattern):
                    rules = with_rule(rules, Rule(pattern, train=False))
                case Thaw(pattern=pattern, lr_scale=scale):
                    rules = with_rule(rules, Rule(pattern, lr_scale=scale))
                case SetPlan(rules=new):
                    rules = new
        return rules

    @property
    def code_to_allow(self) -> Path | None:
        """The file of the model, the open run's or the draft's, where that is code of the user's
        own that nobody has allowed to run yet."""
        own = own_module(self.config.model.name)
        return own[0] if own and own[0].absolute() not in self.allowed else None

    def allow(self, file: Path) -> None:
        """Let the code in a file run, in this session."""
        self.allowed.add(file.absolute())

    def set_model(self, model: ModelInfo, weights: str, task: str, classes: int | None) -> None:
        """Choose the draft's model; another model starts with the default plan."""
        self.draft.set_model(model, weights, task)
        self.draft.classes = classes

    @property
    def classes(self) -> int | None:
        """That the head is for; None where that is not known yet."""
        if self.state is None:
            return self.draft.classes
        return len(self.state.data.classes) if self.state.data else None

    @property
    def stages(self) -> list[Stage]:
        """Those of the plan that are still to come."""
        if self.state is not None and self.state.rules:
            return self.state.stages
        return self.config.stages

    def edit(self, edit: Edit, paths: Sequence[str]) -> list[AnyCommand]:
        """Change modules, all at once: done in a draft, else by the commands to send.

        None are, too, where nothing changes. Raises `UserError` where the run has ended.
        """
        wanted = self.wanted_rules
        rules = self._edited(wanted, edit, paths)
        if rules == wanted:
            return []
        if self.state is None:
            self.draft.set_rules(rules)
            return []
        self._must_live()
        return [_shortest(wanted, rules)]

    def _edited(self, rules: list[Rule], edit: Edit, paths: Sequence[str]) -> list[Rule]:
        """Adapters that are taken away leave what there was before them, where that is known."""
        model = self._must_have_model()
        if edit == Adapt(0):
            without = self._history.newest(lambda x: not adapted(x.trainable, model, paths))
            if without is not None:
                return without_adapters(rules, model, paths, without.trainable)
        return edited(rules, model, paths, edit)

    def adopt(self, plan: Plan) -> list[AnyCommand]:
        """Take a whole plan, with its stages; as `edit`.

        Raises `UserError` also where it is not for the model.
        """
        planfile.check(plan, self._must_have_model())
        if self.state is None:
            self.draft.set_plan(plan)
            return []
        self._must_live()
        stages = [SetStages(plan.stages)] if plan.stages != self.stages else []
        return [SetPlan(plan.trainable), *stages]

    def preset(self, method: str) -> list[AnyCommand]:
        """Take one of `engine.contract.methods.METHODS`, with its stages; as `adopt`."""
        model, chosen = self._must_have_model(), METHODS[method]
        stages = chosen.stages(model, self.config.training.epochs)
        return self.adopt(Plan(chosen.rules(model), stages))

    def undo(self) -> list[AnyCommand]:
        """Go back to the plan before; as `edit`. Raises `UserError` where there is none."""
        return self._step(self._history.before, "There is nothing to undo.")

    def redo(self) -> list[AnyCommand]:
        """Take back an undo; as `edit`. Raises `UserError` where there is none."""
        return self._step(self._history.after, "There is nothing to redo.")

    @property
    def _history(self) -> History:
        return self.draft.history if self.state is None else self._run_history

    def _step(self, plan: Plan | None, nothing: str) -> list[AnyCommand]:
        """A run's stages are not put back: those that began are over."""
        if any(isinstance(command, PlanCommand) for command in self.pending.values()):
            raise UserError("The last change still waits for the worker.")
        if plan is None:
            raise UserError(nothing)
        if self.state is None:
            self.draft.set_plan(plan)
            return []
        self._must_live()
        return [SetPlan(plan.trainable)]

    def _must_live(self) -> None:
        if self.standing == "reading":
            raise UserError("The run is still being read.")
        if not self.live:
            raise UserError("No worker is on this run: R resumes it, n makes a new draft of it.")

    def _must_have_model(self) -> ModelInfo:
        if self.model is None:
            if self.config.model.name:
                raise UserError("The model is not looked up yet; 1 tells how far that is.")
            raise UserError("Choose a model first (1).")
        return self.model


def _texts_of(config: Config) -> tuple[object, ...]:
    data, text = config.data, config.text
    return data.path, data.val_fraction, data.split_seed, text.text_column, text.label_column


def _tokens_of(config: Config) -> tuple[object, ...]:
    return config.model.name, config.text.max_length, *_texts_of(config)


def _shortest(before: Sequence[Rule], after: list[Rule]) -> AnyCommand:
    """The command that leads from one plan to another; that of one rule says what it does."""
    last = after[-1]
    if after == with_rule(before, Rule(last.match, train=False)):
        return Freeze(last.match)
    if after == with_rule(before, Rule(last.match, lr_scale=last.lr_scale)):
        return Thaw(last.match, last.lr_scale)
    return SetPlan(after)
