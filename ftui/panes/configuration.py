"""What the run is asked to do: a form, and the text of the `config.toml` that it makes."""

from typing import ClassVar

import msgspec
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from engine.contract import consistency, toml
from engine.contract.config import Config
from engine.contract.fields import Field, all_fields
from engine.contract.tasks import metrics_of
from engine.contract.text import plain
from ftui.finding import Key
from ftui.panes.pane import Pane
from ftui.paths import glance
from ftui.settings import LIVE, awaited, fixed, value_text
from ftui.tomltext import toml_lines
from ftui.widgets.fileprompt import FilePrompt
from ftui.widgets.form import FieldForm, FieldList, Note
from ftui.widgets.lines import Lines
from ftui.widgets.prompt import Prompt
from ftui.workspace import Workspace

_ENDED = "This is the open run's config; n makes a draft of it, B forks it."
_TEXT_HELP = "This is what runs, whole. Without rules under trainable, only the head trains."


class ConfigurationPane(Pane):
    """The config of the draft, or of the open run, of which a few settings can be changed live."""

    number = 6
    title = "Configuration"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "toggle_text", "Text", id="config.text", tooltip="The config.toml that runs"),
        Binding(
            "L",
            "find('optimizer.lr')",
            "Find rate",
            show=False,  # the form says it where it is of use
            id="config.find-lr",
            tooltip="Find a learning rate by trying, before a run starts",
        ),
        Binding(
            "B",
            "find('data.batch_size')",
            "Find size",
            show=False,
            id="config.find-batch",
            tooltip="Find a batch size by trying, before a run starts",
        ),
        Binding("ctrl+s", "save", "Save", id="config.save", tooltip="Save it to a file"),
        Binding("ctrl+o", "load", "Load", id="config.load", tooltip="Load a file as the draft"),
    ]
    DEFAULT_CSS = """
    ConfigurationPane {
        & > Lines { display: none; }
        &.-text > Lines { display: block; }
        &.-text > FieldForm { display: none; }
        & > #configuration-help { height: 3; }
    }
    """

    class Loaded(Message):
        """A file was read: its config is the draft from now on."""

        def __init__(self, config: Config) -> None:
            super().__init__()
            self.config = config

    class FindAsked(Message):
        """A good value of a setting is to be found by trying."""

        def __init__(self, key: Key) -> None:
            super().__init__()
            self.key: Key = key

    def __init__(self, *, ascii_only: bool = False) -> None:
        super().__init__(ascii_only=ascii_only)
        self.form = FieldForm(all_fields(), ascii_only=ascii_only)
        self._text = Lines(id="configuration-text")
        self._help = Static(id="configuration-help", markup=False)
        self.prompt = FilePrompt(self._refuse, id="configuration-prompt")
        self._config: Config | None = None
        self._of_run = self._live = False
        self._awaited: dict[str, str] = {}
        """Values that were asked of the worker."""
        self._missing = ""
        self._looked_at = "", ""
        self._seen = ""
        """What lies at the path of the data."""

    def compose(self) -> ComposeResult:
        yield self.form
        yield self._text
        yield self._help
        yield self.prompt

    def on_mount(self) -> None:
        self._explain(self.form.list.field)

    @property
    def target(self) -> Widget:
        return self._text if self.has_class("-text") else self.form.list

    def update(self, workspace: Workspace) -> None:
        if workspace.standing == "reading":  # whose settings these are is not known
            self._config, self.border_subtitle = None, "reading the run ..."
            return
        config, of_run, live = workspace.config, workspace.run is not None, workspace.live
        if workspace.hardware is not None:
            cuda = [f"cuda:{gpu.index}" for gpu in workspace.hardware.gpus]
            self.form.choices["training.device"] = ("auto", *cuda, "cpu")
        self.form.choices["early_stopping.metric"] = tuple(metrics_of(config.task))
        asked = awaited(workspace.pending.values())
        shown = (config, of_run, live, asked)
        if shown == (self._config, self._of_run, self._live, self._awaited):
            return
        self._config, self._of_run, self._live, self._awaited = shown
        self._missing = "" if of_run else workspace.draft.missing
        self.border_subtitle = "of the open run" if of_run else "draft"
        self._text.show(toml_lines(toml.dump(config)))
        if not of_run and (config.data.path, config.task) != self._looked_at:
            self._looked_at, self._seen = (config.data.path, config.task), ""
            self._glance(*self._looked_at)
        self._show_form()
        if not self.prompt.display:
            self._explain(self.form.list.field)

    def _show_form(self) -> None:
        if self._config is None:
            return
        notes = {}
        if not self._of_run:
            notes = {"optimizer.lr": Note("L finds one"), "data.batch_size": Note("B finds one")}
        if unread := consistency.unread(self._config):
            notes["task"] = Note(unread, ".warn")
        if self._live:
            notes |= dict.fromkeys(LIVE, Note("live"))
            notes |= {key: Note(f"{text} pending", ".warn") for key, text in self._awaited.items()}
        elif self._seen and not self._of_run:
            good = self._seen[0].isdigit() or self._seen.startswith("over")
            notes["data.path"] = Note(self._seen, ".muted" if good else ".warn")
        self.form.show(self._config, self._refusal, notes)

    def _refusal(self, key: str) -> str:
        """Why a field can't be edited; empty where it can."""
        if not self._of_run or (self._live and key in LIVE):
            return ""
        return fixed(key) if self._live else _ENDED

    @work(thread=True, exclusive=True, group="glance")
    def _glance(self, path: str, task: str) -> None:
        try:
            seen = glance(path, task) if path else ""
        except OSError as error:  # no possible name, or not to be read
            seen = f"can't be read ({error.strerror})"
        self.app.call_from_thread(self._glanced, (path, task), seen)

    def _glanced(self, place: tuple[str, str], seen: str) -> None:
        if place == self._looked_at:
            self._seen = seen
            self._show_form()

    @on(FieldList.Moved)
    def _moved(self, event: FieldList.Moved) -> None:
        self._explain(event.field)

    def _explain(self, field: Field) -> None:
        """The focused field's help, what it takes, and its default; of the text, what it is."""
        if self.has_class("-text"):
            self._help.update(Content.styled(_TEXT_HELP, ".muted"))
            return
        default = field.default
        ends = "" if default is msgspec.NODEFAULT else f"; default {value_text(default)}"
        live = ", live" if field.key in LIVE else ", fixed (B forks it)"
        text = Content.assemble(
            (field.key, ".strong"),
            (f"{live if self._live else ''}  ", ".muted"),
            field.help,
            (f"\n{field.expected}{ends}", ".muted"),
        )
        self._help.update(text)

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not self._of_run if action in ("load", "find") else True

    def action_toggle_text(self) -> None:
        self.toggle_class("-text")
        self._explain(self.form.list.field)
        self.screen.set_focus(self.target)

    def action_find(self, key: Key) -> None:
        self.post_message(self.FindAsked(key))

    def action_save(self) -> None:
        if self._missing:
            self.notify(self._missing, severity="warning", markup=False)
        elif self._config is not None:
            name = plain(self._config.model.name).rpartition("/")[2]
            self.prompt.save(f"{name}.toml", toml.dump(self._config), "config")

    def action_load(self) -> None:
        self.prompt.load(lambda path: self.post_message(self.Loaded(toml.load(path))))

    def _refuse(self, sentence: str) -> None:
        """Say what went wrong above the prompt, where a sentence has room."""
        self._help.update(Content.styled(sentence, ".bad"))

    @on(Prompt.Closed)
    def _answered(self, event: Prompt.Closed) -> None:
        event.stop()
        self._explain(self.form.list.field)
        self.screen.set_focus(self.target)
