"""One validation sample, and what the model said of it: in words, as a picture or as text."""

import asyncio
import io
import textwrap

from msgspec.structs import replace
from PIL import Image
from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.inspection import Shown, Which
from engine.contract.predictions import MASKS, Masks, Predictions, Row
from engine.contract.text import plain
from ftui.format import number
from ftui.inspecting import ModelInspector
from ftui.predicted import said, score
from ftui.widgets.figure import Figure
from ftui.widgets.lines import Lines
from ftui.widgets.picture import Picture

_SECONDS_BEFORE_ASKING = 0.1
"""Who passes over samples does not want to see each."""
_WHOLE = 4096
"""Most pixels of a side, as `data.image_size` has: masks lie on the grid of the whole picture."""
_LONGEST_LINE = 500
_NO_MASKS = f"Only of the worst {MASKS} pictures it is kept what was said of each pixel."


class _Captioned(Vertical):
    """A picture under a word."""

    DEFAULT_CSS = (
        "_Captioned { width: 1fr; height: 1fr; & > Figure { width: 1fr; text-align: center; } }"
    )

    def __init__(self, caption: str, *, ascii_only: bool) -> None:
        super().__init__()
        self._caption = Figure(Content.styled(caption, ".muted"))
        self.picture = Picture(ascii_only=ascii_only)

    def compose(self) -> ComposeResult:
        yield self._caption
        yield self.picture


class SampleView(Vertical):
    """What is shown is asked of the process that knows the data."""

    DEFAULT_CSS = """
    SampleView {
        width: 1fr; height: 1fr;
        & > #sample-words { height: auto; max-height: 4; }
        & > #sample-pictures, & > Lines { display: none; }
        &.-picture > #sample-pictures, &.-text > Lines { display: block; }
        & .-masks { display: none; }
        &.-masked .-masks { display: block; }
    }
    """

    def __init__(self, inspector: ModelInspector, *, ascii_only: bool) -> None:
        super().__init__()
        self._inspector = inspector
        self._words = Static(id="sample-words", markup=False)
        self._plain, self._true, self._said = (
            _Captioned(caption, ascii_only=ascii_only)
            for caption in ("as the model sees it", "true", "said")
        )
        for masked in (self._true, self._said):
            masked.add_class("-masks")
        self._lines, self._text = Lines(), ""
        self._of: tuple[Row, str] | None = None
        """What is shown, and the refusal in place of a part of it."""

    def compose(self) -> ComposeResult:
        yield self._words
        yield Horizontal(self._plain, self._true, self._said, id="sample-pictures")
        yield self._lines

    @property
    def text(self) -> str:
        """What is to be read of the sample."""
        return f"{self._words.content}\n{self._lines.text if self.has_class('-text') else ''}"

    def show(self, found: Predictions, row: Row | None, config: Config, refusal: str = "") -> None:
        """Show one of the predictions, of data that `config` names; where there is a `refusal`,
        that in place of what the data has."""
        if row is None:
            self._of = None
            self._only()
            self._words.update("")
        elif (row, refusal) != self._of:
            self._of = row, refusal
            self._fetch(found, row, config, refusal)

    @work(exclusive=True, group="sample")
    async def _fetch(self, found: Predictions, row: Row, config: Config, refusal: str) -> None:
        self._only()
        if found.task == "causal-lm":  # the data has documents, not blocks
            block, _, text = row.name.partition(": ")
            self._words.update(_words(found, replace(row, name=block)))
            self._read(text)
            return
        if refusal:
            self._words.update(f"{_words(found, row)}\n{refusal}")
            return
        self._words.update(Content.assemble(_words(found, row), ("\nreading it ...", "dim")))
        await asyncio.sleep(_SECONDS_BEFORE_ASKING)
        try:
            which = Which("val", [row.number], size=_WHOLE)
            samples = await self._inspector.samples(config, which)
        except UserError as error:
            self._words.update(f"{_words(found, row)}\n{error}")
            return
        shown = samples.shown[0] if samples.shown else None
        if shown is None or not row.name.endswith(shown.name):
            self._words.update(
                f"{_words(found, row)}\nThe data is not what it was: it is not shown."
            )
            return
        self._words.update(f"{_words(found, row)}\n{shown.problem}".rstrip())
        if shown.text:
            self._read(shown.text)
        elif shown.picture:
            self._draw(shown, found.masks_of(row))

    def _draw(self, shown: Shown, masks: Masks | None) -> None:
        self._only("-picture", *(["-masked"] if shown.mask else []))
        self._plain.picture.show(shown.picture)
        if not shown.mask:
            return
        self._true.picture.show(shown.picture, masks.true if masks else shown.mask)
        if masks and _size(masks.said) == _size(shown.picture):
            self._said.picture.show(shown.picture, masks.said)
        else:
            self._said.picture.say(_NO_MASKS)

    def _read(self, text: str) -> None:
        self._text = text
        self._only("-text")
        self.call_after_refresh(self._wrap)  # hidden, the lines had no room

    def on_resize(self) -> None:
        self._wrap()

    def _wrap(self) -> None:
        wide = max(20, self._lines.room)
        lines = (plain(line, _LONGEST_LINE) for line in self._text.splitlines())
        self._lines.show([row for line in lines for row in textwrap.wrap(line, wide) or [""]])

    def _only(self, *classes: str) -> None:
        for name in ("-picture", "-masked", "-text"):
            self.set_class(name in classes, name)


def _words(found: Predictions, row: Row) -> str:
    words = [plain(row.name, 200)]
    if row.labels or row.said:
        words.append(f"{said(found, row.labels)}, called {said(found, row.said)}")
    words.append(f"loss {number(row.loss)}")
    if found.score:
        words[-1] += f", {found.score} {score(found, row)}"
    return "\n".join(words)


def _size(png: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(png)).size
