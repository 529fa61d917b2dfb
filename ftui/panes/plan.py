"""The plan as text: read in full, copied, saved and loaded; and its next stage in a line."""

from collections.abc import Sequence
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from engine.contract import planfile
from engine.contract.planfile import Plan
from engine.contract.rules import Rule, Stage
from engine.contract.text import plain
from ftui.format import count
from ftui.tomltext import toml_lines
from ftui.widgets.fileprompt import FilePrompt
from ftui.widgets.lines import Lines
from ftui.widgets.prompt import Prompt

_HELP = "The last rule that matches a parameter decides all of it."


class PlanText(Vertical):
    """The TOML of a plan and of the stages to come."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "Copy", id="plan.copy", tooltip="Copy the plan's text"),
        Binding("ctrl+s", "save", "Export", id="plan.save", tooltip="Save the plan to a file"),
        Binding("ctrl+o", "load", "Import", id="plan.load", tooltip="Load a file as the plan"),
        Binding(
            "escape,backspace", "leave", "Tree", id="plan.leave", tooltip="Back to the modules"
        ),
    ]
    DEFAULT_CSS = """
    PlanText {
        width: 1fr; height: 1fr; padding-left: 1;
        & > Static { height: auto; }
    }
    """

    class Loaded(Message):
        """A plan was read from a file, to take the place of this one."""

        def __init__(self, plan: Plan) -> None:
            super().__init__()
            self.plan = plan

    class Left(Message):
        """The tree is wanted again."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = Lines()
        self._words = Static(markup=False)
        self.prompt = FilePrompt(self._refuse)
        self.text = ""

    def compose(self) -> ComposeResult:
        yield self.lines
        yield self._words
        yield self.prompt

    def on_mount(self) -> None:
        self._explain()

    def show(self, rules: Sequence[Rule], stages: Sequence[Stage]) -> None:
        """Show a plan."""
        text = planfile.dump(rules, stages)
        if text != self.text:
            self.text = text
            self.lines.show(toml_lines(text, self.lines.room))

    def on_resize(self, event: events.Resize) -> None:
        self.lines.show(toml_lines(self.text, self.lines.room))

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self.text)
        self.notify("Copied, if your terminal lets programs copy (OSC 52).", markup=False)

    def action_save(self) -> None:
        self.prompt.save("plan.toml", self.text, "plan")

    def action_load(self) -> None:
        self.prompt.load(lambda path: self.post_message(self.Loaded(planfile.load(path))))

    def action_leave(self) -> None:
        self.post_message(self.Left())

    @on(Prompt.Closed)
    def _answered(self, event: Prompt.Closed) -> None:
        event.stop()
        self._explain()
        self.screen.set_focus(self.lines)

    def _explain(self) -> None:
        self._words.update(Content.styled(_HELP, ".muted"))

    def _refuse(self, sentence: str) -> None:
        self._words.update(Content.styled(sentence, ".bad"))


def next_stage(stages: Sequence[Stage]) -> str:
    """What comes next, and how much after that; empty where nothing does."""
    if not stages:
        return ""
    first, *rest = stages
    kind, _, amount = first.after.partition(" ")
    when = f"after {first.after}"
    if kind == "stalled":
        when = f"after {count(int(amount), 'evaluation')} no better"
    more = f" (+{count(len(rest), 'stage')})" if rest else ""
    return f"{when}: {', '.join(map(_in_words, first.trainable))}{more}"


def _in_words(rule: Rule) -> str:
    words = ["train" if rule.train else "freeze", plain(rule.match, 40)]
    if rule.lr_scale != 1:
        words.append(f"{rule.lr_scale:g}x")
    if rule.reinit:
        words.append("new")
    if rule.lora:
        words.append(f"{'dora' if rule.dora else 'lora'} {rule.lora}")
    return " ".join(words)
