"""What trains and what is frozen: the tree, its presets, and what waits for the worker."""

from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from engine.contract.errors import UserError
from engine.contract.methods import METHODS, Method
from engine.contract.plan import resolve, trainable_parameters
from engine.contract.rules import Rule, Stage
from engine.contract.text import plain
from engine.contract.tree import ModelInfo
from ftui.inspecting import ModelInspector
from ftui.panes.pane import Pane
from ftui.panes.plan import PlanText, next_stage
from ftui.widgets.cost import CostLines
from ftui.widgets.menu import Menu
from ftui.widgets.module_tree import ModulePane, OwnPlan
from ftui.widgets.module_tree.from_model import PlanReader, module_of, rows_of
from ftui.widgets.module_tree.keys import EDIT_ACTIONS
from ftui.widgets.module_tree.words import count_text, share_text
from ftui.workspace import Workspace


class PresetMenu(Menu):
    """The named plans, with how much each trains."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape,backspace,m", "close", "Close", id="presets.close", tooltip="Keep the plan"
        ),
    ]

    class Chosen(Message):
        """A method was picked, by its name in `METHODS`."""

        def __init__(self, method: str) -> None:
            super().__init__()
            self.method = method

    class Closed(Message):
        """The menu is gone."""

    def open(self, model: ModelInfo) -> None:
        """Show the methods that fit a model."""
        self.clear_options()
        for name, method in METHODS.items():
            with suppress(UserError):  # one without norms, or without attention
                line = _preset_line(method, model)
                self.add_option(Option(line, id=name))
        self.show("Presets, with their papers at arXiv")

    def action_close(self) -> None:
        self.display = False
        self.post_message(self.Closed())

    @on(OptionList.OptionSelected)
    def _picked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.action_close()
        self.post_message(self.Chosen(str(event.option_id)))


class ModulesPane(Pane):
    """The tree of the open run's model, or of the draft's."""

    number = 2
    title = "Modules"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "m",
            "presets",
            "Presets",
            id="modules.presets",
            tooltip="Linear probe, LP-FT, BitFit, ULMFiT, surgical fine-tuning, LoRA, and others",
        ),
        Binding(
            "P", "toggle_text", "Plan", id="modules.text", tooltip="The plan as text, or the tree"
        ),
    ]
    offers = EDIT_ACTIONS

    def __init__(self, *, ascii_only: bool = False, inspector: ModelInspector) -> None:
        super().__init__(ascii_only=ascii_only)
        self.cost = CostLines(inspector)
        self.tree_pane = ModulePane(ascii_only=ascii_only)
        self.tree_pane.tree_table.empty_text = ""  # which words there are depends on the run
        self.plan_text = PlanText()
        self._menu = PresetMenu()
        self._stage = Static(id="modules-stage", markup=False)
        self._words = Static(id="modules-words", markup=False)
        self._wrong = Static(id="modules-wrong", markup=False)
        self._model: ModelInfo | None = None
        self._reader: PlanReader | None = None
        self._rules: Sequence[Rule] = []
        self._wanted: Sequence[Rule] = []
        self._stages: Sequence[Stage] = []
        self._plan: dict[str, OwnPlan] = {}

    def compose(self) -> ComposeResult:
        yield self._words
        yield self.tree_pane
        yield self.plan_text
        yield self.cost
        yield self._stage
        yield self._wrong
        yield self._menu

    @property
    def target(self) -> Widget:
        return self.plan_text.lines if self.has_class("-text") else self.tree_pane.tree_table

    def update(self, workspace: Workspace) -> None:
        model, rules, wanted = workspace.model, workspace.rules, workspace.wanted_rules
        self.cost.update_from(workspace)
        if model is not self._model:
            self._show_model(model)
        self._words.display = model is None
        if model is None:
            self._words.update(_why_empty(workspace))
            return
        self._show_stages(workspace.stages)
        changed = rules != self._rules
        if changed:
            self._plan = self._read(rules)
            self.tree_pane.apply_plan(self._plan)
        if changed or wanted != self._wanted:
            self.tree_pane.set_pending(self._waiting(workspace))
        self._rules, self._wanted = rules, wanted
        self._show_text()

    def _show_stages(self, stages: Sequence[Stage]) -> None:
        if stages != self._stages:
            self._stages = stages
            self._stage.update(next_stage(stages))
            self.set_class(bool(stages), "-staged")

    def _show_text(self) -> None:
        if self.has_class("-text"):
            self.plan_text.show(self._rules, self._stages)

    def _show_model(self, model: ModelInfo | None) -> None:
        self._model, self._rules, self._wanted = model, [], []
        name = plain(model.name) if model else ""
        self.tree_pane.set_model(rows_of(model) if model else [], name.rpartition("/")[2])
        self._reader = PlanReader(model, self.tree_pane.tree_table.modules) if model else None
        self._menu.display = False
        self._show_stages([])
        if model is None:
            self.remove_class("-text")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._model is not None if action in ("presets", "toggle_text") else True

    @on(PlanText.Left)
    def action_toggle_text(self) -> None:
        self.toggle_class("-text")
        self._show_text()
        self.screen.set_focus(self.target)

    def action_presets(self) -> None:
        if self._model is not None:
            self._menu.open(self._model)

    @on(PresetMenu.Closed)
    def _back_to_tree(self) -> None:
        self.screen.set_focus(self.target)

    def _read(self, rules: Sequence[Rule]) -> dict[str, OwnPlan]:
        assert self._reader is not None
        try:
            plan = self._reader.read(rules)
        except UserError as error:
            self._wrong.update(str(error))
            self._wrong.display = True
            return {}
        self._wrong.display = False
        return plan

    def _waiting(self, workspace: Workspace) -> set[str]:
        """Modules whose own parameters will change, and those that new rules are of."""
        if not workspace.pending:
            return set()
        rules, modules = workspace.wanted_rules, self.tree_pane.tree_table.modules
        edited = {module_of(rule.match, modules) for rule in rules if rule not in workspace.rules}
        after = self._read(rules)
        changing = {path for path, own in after.items() if own != self._plan.get(path)}
        return changing | {path for path in edited if path is not None}


def _preset_line(method: Method, model: ModelInfo) -> str:
    """Raises `UserError` where the method is not for the model."""
    rules, total = method.rules(model), model.total_parameters
    trained = trainable_parameters(resolve(rules, model), model)
    figures = f"{count_text(trained):>7} {share_text(trained, total):>5}"
    return f"{method.label:<18}{figures}  {method.paper}".rstrip()


def _why_empty(workspace: Workspace) -> str:
    """What to say while there is no model to show."""
    name = plain(workspace.config.model.name)
    if workspace.state is None:
        if not name:
            return "Choose a model (1) to see its modules."
        if workspace.code_to_allow is not None:
            return f"{name} is your own code: press 1, then r, to run it and see its modules."
        if problem := workspace.draft.problem:
            return f"{name} could not be looked up; 1, then r, tries again. {problem}"
        return f"Looking up {name}: pane 1 tells how far that is."
    if workspace.standing == "reading":
        return "Reading the run."
    if workspace.standing == "preparing":
        stage = f": {plain(workspace.state.stage)}" if workspace.state.stage else ""
        return f"The worker prepares{stage}. The modules show once the model is loaded."
    return "This run has not loaded its model."
