"""The Data screen: what it says, what it shows, and its keys."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.inspection import NO_MODEL, Blocks, Ends, Overview, Which
from ftui.app import FtuiApp
from ftui.draft import Draft
from ftui.screens import data, data_words
from ftui.screens.data import DataScreen, scattered
from ftui.widgets.samples import Samples
from tests.ui.conftest import until
from tests.ui.scripted import ScriptedInspector
from tests.ui.seen import SeenData

SIZES = [(80, 24), (120, 40), (200, 50)]
RESNET = ModelConfig("torchvision/resnet18")


class Inspector(SeenData, ScriptedInspector):
    """Knows models and data."""


def config(task: str = "image-classification", **more) -> Config:
    return replace(Config(task, RESNET, DataConfig("discs", augment="trivial")), **more)


class Opened:
    """The app with the screen over it."""

    def __init__(self, app: FtuiApp, pilot: Pilot[None], inspector: Inspector) -> None:
        self.app, self.pilot, self.inspector = app, pilot, inspector

    @property
    def screen(self) -> DataScreen:
        assert isinstance(self.app.screen, DataScreen)
        return self.app.screen

    @property
    def text(self) -> str:
        strips = self.app.screen._compositor.render_strips()
        return "\n".join("".join(s.text for s in strip) for strip in strips)

    @property
    def asked(self) -> Which:
        return self.inspector.seen[-1]

    async def says(self, *words: str) -> None:
        await until(self.pilot, lambda: all(word in self.text for word in words))

    async def asks(self, key: str, what: Callable[[Which], bool]) -> None:
        """Press a key, and wait until such samples were asked for."""
        await self.pilot.press(key)
        await until(self.pilot, lambda: what(self.asked))


@pytest.fixture
def opened(runs_dir: Path):
    """The screen on a draft, at a size."""

    @asynccontextmanager
    async def show(
        asked: Config, size: tuple[int, int] = (120, 40), problem: str = "", listed=True, **options
    ) -> AsyncIterator[Opened]:
        inspector = Inspector()
        inspector.problem = problem
        if not listed:
            inspector.listed.clear()
        app = FtuiApp(runs_dir, None, refresh=30, inspector=inspector, **options)
        app.workspace.draft = Draft(asked)
        async with app.run_test(size=size) as pilot:
            await pilot.press("D")
            await until(pilot, lambda: isinstance(app.screen, DataScreen))
            yield Opened(app, pilot, inspector)

    return show


@pytest.mark.parametrize("size", SIZES)
async def test_figures_beside_pictures(opened, size: tuple[int, int]) -> None:
    async with opened(config(), size) as on:
        await on.says("red [b]", "70", "▀", "training, as evaluated")
        await until(on.pilot, lambda: "In both parts: 1 picture." in on.screen.text)
        said = on.screen.text
    assert "held out by seed 0" in " ".join(said.split())
    assert "Unbalanced" in said
    assert "top-1 87.5 %" in " ".join(said.split())
    assert "red/[x].png: empty file" in " ".join(said.split())
    assert "red/99.png = red/1.png" in " ".join(said.split())


async def test_code_of_ones_own_runs_for_pictures_once_that_is_allowed(opened) -> None:
    own = replace(config(), model=ModelConfig("[b]net.py:make"))
    async with opened(own) as on:
        await on.says("r runs [b]net.py:make,")
        await on.pilot.press("t")
        await on.says("validation", "r runs [b]net.py:make,")
        await on.pilot.press("r")
        await on.says("Run the code in [b]net.py? It may do all that you may. y/n")
        await on.pilot.press("n", "r", "escape")
        await on.pilot.pause()
        assert on.inspector.seen == []
        await on.pilot.press("r", "y")
        await until(on.pilot, lambda: on.inspector.seen)
        await on.says("▀")
    async with opened(replace(own, task="text-classification")) as on:
        await on.says("discs.csv:")


async def test_a_long_listing_says_how_far_it_is(opened) -> None:
    async with opened(config(), listed=False) as on:
        await on.says("checked 12,000 of [b]50,000 pictures ...")
        on.inspector.listed.set()
        await on.says("In both parts")


async def test_a_listing_that_is_left_is_ended(opened, monkeypatch) -> None:
    monkeypatch.setattr(data, "_PATIENCE", 0.0)
    async with opened(config(), listed=False) as on:
        await on.says("checked 12,000")
        await on.pilot.press("escape")
        await until(on.pilot, lambda: on.inspector.left)


async def test_what_a_look_adds(opened) -> None:
    async with opened(config()) as on:
        await until(on.pilot, lambda: "Nearly the same" in on.screen.text)
        assert "Looked at" not in on.screen.text
        assert "red/98.png = red/2.png" in on.screen.text
        assert "red/7.png = red/1.png" in on.screen.text


async def test_keys_choose_samples(opened) -> None:
    async with opened(config()) as on:
        await on.says("▀", "1 of")
        places = on.screen.query_one(Samples).places
        assert on.asked == Which("train", [scattered(n, 80) for n in range(places)])
        await on.asks("t", lambda asked: asked.part == "val")
        await on.asks("t", lambda asked: asked.part == "train")
        await on.asks("a", lambda asked: asked.epoch == 1)
        await on.says("augmented (trivial)")
        await on.asks("down", lambda asked: asked.of == 0)
        await on.asks("j", lambda asked: asked.of == 1)
        assert set(on.asked.numbers) <= set(range(10))
        await on.asks("k", lambda asked: asked.of == 0)
        first = on.asked.numbers
        await on.asks("n", lambda asked: not set(first) & set(asked.numbers))
        await on.says("2 of")
        await on.asks("N", lambda asked: asked.numbers == first)


async def test_one_sample_alone(opened) -> None:
    async with opened(config()) as on:
        await on.says("▀", f"train-{scattered(0, 80)}.png")
        await on.pilot.press("right", "l", "h")
        await on.asks("enter", lambda asked: asked.numbers == [scattered(1, 80)])
        await on.asks("right", lambda asked: asked.numbers == [scattered(2, 80)])
        await on.asks("enter", lambda asked: len(asked.numbers) > 1)


async def test_masks_come_and_go(opened) -> None:
    async with opened(config("semantic-segmentation")) as on:
        await on.says("▀", "■")
        await on.asks("j", lambda asked: asked.of is None)  # pictures show several classes
        with_masks = on.screen.query_one(Samples)
        assert with_masks.masks
        await on.pilot.press("m")
        await until(on.pilot, lambda: not with_masks.masks)


@pytest.mark.parametrize("task", ["text-classification", "causal-lm"])
async def test_texts_with_their_tokens(opened, task: str) -> None:
    async with opened(config(task)) as on:
        await on.says("of [b]a disc[/b]", "99 tokens")
        await until(on.pilot, lambda: "longest has 99" in " ".join(on.screen.text.split()))
        said = " ".join(on.screen.text.split())
        assert "3 are cut to 64" in said
        lines = [line.strip("┃│ ") for line in on.text.splitlines()]
        (start,) = (n for n, line in enumerate(lines) if "Text 0 of" in line)
        assert "discs.csv:0" in lines[start - 1], "what a text is stands above it"
        await on.pilot.press("a")  # texts are not augmented
        await on.asks("t", lambda asked: asked.part == "val")
        assert on.asked.epoch is None


async def test_one_document_is_told_by_its_end(opened) -> None:
    novel = {"train": 1, "val": 1, "train_counts": [1], "val_counts": [1]}
    async with opened(config("causal-lm")) as on:
        on.inspector.overview |= novel | {
            "ends": Ends(2075, 8398, in_tokens=True),
            "blocks": Blocks(64, 98, 32),
        }
        await on.pilot.press("escape", "D")
        await until(on.pilot, lambda: "Blocks" in on.screen.text)
        said = " ".join(on.screen.text.split())
    assert "1 document: its last 2,075 of 8,398 tokens validate" in said
    assert "Blocks of 64 tokens: 98 to train on and 32 to validate on." in said
    assert "held out by seed" not in said
    assert "the median" not in said


def test_how_even_classes_are() -> None:
    def said(counts: list[int], pixels: list[int]) -> str:
        overview = Overview(
            classes=["sky", "tree", "cat"], train_counts=counts, val_counts=counts, train=99, val=9,
            held_out=False, pixels=pixels, baseline=None, skipped=0, first_skipped=[], remarks=[],
        )  # fmt: skip
        return data_words.sentences(config(), overview, None)[1][0]

    assert said([30, 25, 20], []) == "Balanced: classes have 20 to 30 pictures to train on."
    assert said([51, 20, 13], []) == "Uneven: classes have 13 to 51 pictures to train on."
    assert said([51, 20, 10], []).startswith('Unbalanced: "sky" has 51 pictures')
    assert said([9, 9, 8], [850, 40, 110]).startswith(
        'Unbalanced: of the pixels to train on "sky" has 85.0 %, "cat" has 11.0 %, "tree" has 4.0 %'
    )


async def test_what_is_broken_says_so(opened) -> None:
    async with opened(config(), (200, 50)) as on:
        await on.asks("j", lambda asked: asked.of == 0)
        while 3 not in on.asked.numbers:
            before = on.asked.numbers
            await on.asks("n", lambda asked, before=before: asked.numbers != before)
        await on.says("cut short [red]here")


async def test_its_keys_are_told(opened) -> None:
    async with opened(config()) as on:
        await on.says("▀")
        await on.pilot.press("question_mark")
        await on.says("Training or validation samples", "This sample alone")
        assert "Named methods" not in on.text
        await on.pilot.press("question_mark")
        await until(on.pilot, lambda: isinstance(on.app.screen, DataScreen))


async def test_errors_are_a_sentence(opened) -> None:
    async with opened(config(), problem='data.path: "[b]discs" does not exist.') as on:
        await on.says('"[b]discs" does not exist.')
        assert not on.inspector.seen
    async with opened(Draft().config) as on:
        await on.says("There is no data yet")
        await on.pilot.press("n", "a", "t", "m", "enter", "j")
        await on.pilot.press("escape")
        await until(on.pilot, lambda: not isinstance(on.app.screen, DataScreen))


async def test_a_draft_without_a_model(opened) -> None:
    async with opened(config(model=ModelConfig(""))) as on:
        await on.says("▀")
        assert on.screen.config.model.name == NO_MODEL


async def test_ascii_says_what_it_can_not_draw(opened) -> None:
    async with opened(config("semantic-segmentation"), ascii_only=True) as on:
        await on.says("which ASCII", "# blue discs")
        await until(on.pilot, lambda: "Nearly the same" in on.screen.text)
        assert on.text.isascii()


def test_a_page_goes_all_over() -> None:
    for total in (1, 2, 3, 10, 97, 1000):
        order = [scattered(n, total) for n in range(total)]
        assert sorted(order) == list(range(total))
    assert len({n // 100 for n in [scattered(n, 1000) for n in range(9)]}) >= 7
