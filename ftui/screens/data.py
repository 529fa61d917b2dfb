"""The data, seen before it trains: figures on the left, samples on the right."""

import asyncio
import math
import textwrap
from time import monotonic
from typing import ClassVar

from msgspec.structs import replace
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.inspection import NO_MODEL, Overview, Part, Scan, Which
from engine.contract.tasks import TASKS
from engine.contract.text import plain
from ftui.draft import UNSET
from ftui.inspecting import ModelInspector
from ftui.screens.consent import SampleSheet
from ftui.screens.data_words import class_lines, head_line, sentences, tokens_at_most
from ftui.screens.help import help_on
from ftui.widgets.lines import Line, Lines
from ftui.widgets.prompt import Prompt
from ftui.widgets.samples import Samples, amount
from ftui.workspace import Workspace

_MASKS = "semantic-segmentation"
_SETTLE = 0.05
"""Seconds after a key before samples are asked for: the next key may want others."""
_PATIENCE = 2.0
"""Seconds that a listing may go on, unseen, before its process is given up."""
_PARTS: dict[Part, str] = {"train": "training", "val": "validation"}


def _key(id_: str, keys: str, action: str, label: str, tooltip: str) -> Binding:
    return Binding(keys, action, label, tooltip=tooltip, id=f"data.{id_}")


class ClassList(Lines):
    """Lines that tell where the cursor went; its other keys are the screen's."""

    BINDINGS: ClassVar[list[BindingType]] = [
        _key("right", "right,l", "screen.pick(1)", "Pick", "Pick the next sample"),
        _key("left", "left,h", "screen.pick(-1)", "Pick", "Pick the sample before"),
        _key("alone", "enter", "screen.alone", "Larger", "This sample alone, or all"),
    ]

    class Moved(Message):
        """The cursor is on another line."""

    def select(self, index: int) -> None:
        before = self.cursor
        super().select(index)
        if self.cursor != before:
            self.post_message(self.Moved())


class DataScreen(SampleSheet):
    """Asks the inspector; what is not known yet is not shown."""

    DEFAULT_CSS = """
    DataScreen {
        & > Vertical { width: 100%; height: 100%; }
        & #data-figures { width: 42%; min-width: 34; max-width: 64; padding-right: 1; }
        & #data-head { height: 1; color: $foreground-muted; }
        & ClassList { height: auto; max-height: 45%; }
        & #data-state { height: 1; }
        & #data-one { height: 1; color: $foreground-muted; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        _key("part", "t", "part", "Part", "Training or validation samples"),
        _key("augment", "a", "augment", "Augmented", "As training sees them, or an evaluation"),
        _key("masks", "m", "masks", "Masks", "Masks over the pictures, or none"),
        _key("next", "n", "page(1)", "Next", "The next samples"),
        _key("previous", "N", "page(-1)", "Before", "The samples before"),
        _key("help", "question_mark,f1", "help", "Help", "These keys"),
        _key("close", "q,D", "dismiss", "Close", "Close this"),
    ]

    def __init__(self, workspace: Workspace, inspector: ModelInspector, ascii_only: bool) -> None:
        super().__init__(workspace, Prompt())
        config = workspace.config
        self._keep_longest = workspace.keep_longest
        unset = config.model.name == UNSET
        self._config = (
            replace(config, model=replace(config.model, name=NO_MODEL)) if unset else config
        )
        self._inspector, self._ascii = inspector, ascii_only
        self._overview: Overview | None = None
        self._scan: Scan | None = None
        self._began: float | None = None
        self._part: Part = "train"
        self._augmented, self._masks, self._page = False, True, 0
        self._head, self._state, self._one = (
            Static(markup=False, id=f"data-{name}") for name in ("head", "state", "one")
        )
        self._class_list, self._words = ClassList(cursor=True), Lines(id="data-words")
        self._samples = Samples(ascii_only=ascii_only)
        self._samples.kind = "text" if TASKS[config.task].of_texts else "picture"

    def compose(self) -> ComposeResult:
        box = Vertical(
            Horizontal(
                Vertical(self._head, self._class_list, self._words, id="data-figures"),
                Vertical(self._state, self._samples, self._one),
            ),
            self.prompt,
        )
        title = TASKS[self._config.task].title
        box.border_title = f"Data: {title}"
        box.border_subtitle = self._keys()
        yield box

    def on_mount(self) -> None:
        super().on_mount()
        self.set_focus(self._class_list)
        self.call_after_refresh(self._begin)  # words are wrapped to the room that there is

    def _begin(self) -> None:
        if self._config.data.path == UNSET:
            self._class_list.say("There is no data yet: close this and set data.path first (6).")
            return
        self._class_list.say(f"Reading {plain(self._config.data.path)} ...")
        self._list()

    async def on_unmount(self) -> None:
        if self._began is not None and monotonic() - self._began > _PATIENCE:
            await self._inspector.leave_data()  # else the next data set waits for it

    @property
    def text(self) -> str:
        """All that the left side says."""
        return f"{self._class_list.text}\n{self._words.text}"

    @property
    def samples_shown(self) -> bool:
        """Whether those that were asked for are there."""
        return self._samples.one is not None

    @property
    def config(self) -> Config:
        """Whose data it is."""
        return self._config

    @work(exclusive=True, group="data")
    async def _list(self) -> None:
        """Everything, and then look at the samples one by one."""
        self._began = monotonic()
        try:
            self._overview = await self._inspector.data(self._config, self._tell)
            self._began = None
            self._show_figures()
            self.show_samples()
            while self._scan is None or not self._scan.done:
                self._scan = await self._inspector.scan(self._config)
                self._show_words()
            if longest := tokens_at_most(self._overview, self._scan):
                self._keep_longest(self._config, longest)
        except UserError as error:
            self._began = None
            self._fail(str(error))

    def _tell(self, doing: str) -> None:
        self._class_list.say(f"{plain(doing)} ...")

    def _fail(self, sentence: str) -> None:
        if self._overview is None:
            self._class_list.say(sentence)
        else:
            self._words.say(sentence)

    @work(exclusive=True, group="samples")
    async def show_samples(self) -> None:
        if self._overview is None or not self._samples.places:
            return
        await asyncio.sleep(_SETTLE)
        self._show_state()
        if self.refusal:
            self._samples.say(self.refusal)
            return
        try:
            found = await self._inspector.samples(
                self._config,
                Which(
                    self._part,
                    self._numbers,
                    of=self._class,
                    epoch=1 if self._augmented and self._part == "train" else None,
                ),
            )
        except UserError as error:
            self._samples.say(str(error))
            return
        self._samples.show(found.shown, self._masks)
        self._show_one()

    @property
    def _class(self) -> int | None:
        at = self._class_list.cursor
        return None if not at or self._config.task == _MASKS else at - 1

    @property
    def _total(self) -> int:
        """Samples that can be turned over."""
        assert self._overview is not None
        overview, place = self._overview, self._class
        if place is None:
            return overview.train if self._part == "train" else overview.val
        return (overview.train_counts if self._part == "train" else overview.val_counts)[place]

    @property
    def _pages(self) -> int:
        return max(1, -(-self._total // max(1, self._samples.places)))

    @property
    def _numbers(self) -> list[int]:
        places = self._samples.places
        first = self._page * places
        return [scattered(n, self._total) for n in range(first, min(first + places, self._total))]

    # What is shown

    def _show_figures(self) -> None:
        assert self._overview is not None
        room, masks = self._class_list.room, self._config.task == _MASKS
        self._class_list.show(class_lines(self._overview, room, self._ascii, masks))
        self._head.update(Content(head_line(self._overview, room)))
        self._show_words()

    def _show_words(self) -> None:
        assert self._overview is not None
        lines: list[Line] = []
        for words, style in sentences(self._config, self._overview, self._scan):
            indent = "  " if words.startswith("  ") else ""
            wrapped = textwrap.wrap(
                words.strip(),
                max(20, self._words.room),
                initial_indent=indent,
                subsequent_indent=indent * 2,
            )
            lines += [Content.styled(line, style) if style else Content(line) for line in wrapped]
        self._words.show(lines)

    def _show_state(self) -> None:
        how = "as evaluated"
        if self._augmented and self._part == "train":
            how = f"augmented ({self._config.data.augment})"
        said = [_PARTS[self._part]]
        if self._samples.kind == "picture":
            said.append(how)
        said.append(f"{self._page + 1:,} of {self._pages:,}")
        self._state.update(Content(", ".join(said)))

    def _show_one(self) -> None:
        one = self._samples.one
        if one is not None:
            said = [one.name, ", ".join(one.labels), amount(one), one.problem]
            self._one.update(Content(plain("  ".join(filter(None, said)), 1000)))

    def _keys(self) -> str:
        kind = self._samples.kind
        more = {"text": "", "picture": "a augmented  "}[kind]
        masks = "m masks  " if self._config.task == _MASKS else ""
        return f"t train/val  {more}{masks}n next  enter larger  ? keys  escape closes"

    @on(Samples.Refitted)
    def _refitted(self) -> None:
        if self._overview is not None:
            self._page = min(self._page, self._pages - 1)
            self.show_samples()

    @on(ClassList.Moved)
    def _others(self) -> None:
        self._page = 0
        self._samples.picked = 0
        self.show_samples()

    def on_resize(self) -> None:
        if self._overview is not None:
            self.call_after_refresh(self._show_figures)

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "masks":
            return self._config.task == _MASKS
        if action == "augment":
            return self._samples.kind == "picture"
        return super().check_action(action, parameters)

    @on(Prompt.Closed)
    def _answered(self, event: Prompt.Closed) -> None:
        event.stop()
        self.set_focus(self._class_list)

    def action_help(self) -> None:
        self.app.push_screen(help_on(self))

    def action_part(self) -> None:
        self._part = "val" if self._part == "train" else "train"
        self._others()

    def action_augment(self) -> None:
        self._augmented = not self._augmented
        self.show_samples()

    def action_masks(self) -> None:
        self._masks = not self._masks
        self._samples.show_masks(self._masks)

    def action_page(self, step: int) -> None:
        if self._overview is not None and 0 <= self._page + step < self._pages:
            self._page += step
            self.show_samples()

    def action_pick(self, step: int) -> None:
        if self._samples.alone or not self._samples.pick(step):
            self.action_page(step)
        else:
            self._show_one()

    def show_others(self) -> bool:
        alone = self._samples.alone and self._overview is not None
        if alone:
            self.action_alone()
        return alone

    def action_alone(self) -> None:
        """One at a time, beginning with the one that is picked; or again as many as fit."""
        at = self._page * self._samples.places + self._samples.picked
        self._samples.alone = not self._samples.alone
        self._samples.fit()
        self._page, self._samples.picked = divmod(at, max(1, self._samples.places))


def scattered(number: int, total: int) -> int:
    """The `number`-th of `total` in an order that goes all over them, so that a page of sorted
    samples shows several kinds."""
    step = max(1, round(total * (math.sqrt(5) - 1) / 2))
    while math.gcd(step, total) > 1:
        step += 1
    return number * step % total
