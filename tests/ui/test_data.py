"""The Data screen: what it says, what it shows, and its keys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.inspection import NO_MODEL
from ftui.app import FtuiApp
from ftui.draft import Draft
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
    def asked(self) -> tuple[str, int | None, int | None, list[int]]:
        return self.inspector.seen[-1]

    async def says(self, *words: str) -> None:
        await until(self.pilot, lambda: all(word in self.text for word in words))

    async def press(self, key: str) -> None:
        """And wait until other samples were asked for."""
        before = len(self.inspector.seen)
        await self.pilot.press(key)
        await until(self.pilot, lambda: len(self.inspector.seen) > before)


@pytest.fixture
def opened(runs_dir: Path):
    """The screen on a draft, at a size."""

    @asynccontextmanager
    async def show(
        asked: Config, size: tuple[int, int] = (120, 40), problem: str = "", **options
    ) -> AsyncIterator[Opened]:
        inspector = Inspector()
        inspector.problem = problem
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
        await on.says("red [b]discs[/b]", "blue discs", "70", "▀", "training, as evaluated")
        await until(on.pilot, lambda: "is in both parts" in on.screen.text)
        said = on.screen.text
    assert "held out by seed 0" in " ".join(said.split())
    assert "Unbalanced" in said
    assert "top-1 87.5 %" in " ".join(said.split())
    assert "red/[x].png: empty file" in " ".join(said.split())
    assert "red/99.png = red/1.png" in " ".join(said.split())


async def test_what_a_look_adds(opened) -> None:
    async with opened(config()) as on:
        await until(on.pilot, lambda: "nearly so" in on.screen.text)
        assert "Looked at" not in on.screen.text
        assert "red/98.png = red/2.png" in on.screen.text


async def test_keys_choose_samples(opened) -> None:
    async with opened(config()) as on:
        await on.says("▀", "of 10")
        places = on.screen.query_one(Samples).places
        assert on.asked == ("train", None, None, [scattered(n, 80) for n in range(places)])
        await on.press("t")
        assert on.asked[0] == "val"
        await on.press("t")
        await on.press("a")
        assert on.asked[:3] == ("train", None, 1)
        await on.says("augmented (trivial)")
        await on.press("j")
        assert on.asked[:3] == ("train", 0, 1)
        await on.press("down")
        assert on.asked[:2] == ("train", 1)
        assert sorted(on.asked[3]) == list(range(10))[: len(on.asked[3])]
        await on.press("k")
        first = on.asked[3]
        await on.press("n")
        assert not set(first) & set(on.asked[3])
        await on.says("2 of")
        await on.press("N")
        assert on.asked[3] == first


async def test_one_sample_alone(opened) -> None:
    async with opened(config()) as on:
        await on.says("▀", f"train-{scattered(0, 80)}.png")
        await on.pilot.press("right", "l", "h")
        name = f"train-{scattered(1, 80)}.png"
        await on.says(name)
        await on.press("enter")
        assert on.screen.query_one(Samples).places == 1
        await until(on.pilot, lambda: on.asked[3] == [scattered(1, 80)])
        await on.press("right")
        assert on.asked[3] == [scattered(2, 80)]
        await on.press("enter")
        await until(on.pilot, lambda: len(on.asked[3]) > 1)


async def test_masks_come_and_go(opened) -> None:
    async with opened(config("semantic-segmentation")) as on:
        await on.says("▀", "■")
        await until(on.pilot, lambda: on.screen.query_one(Samples).one)
        await on.press("j")
        assert on.asked[1] is None  # pictures show several classes
        before = on.app.screen._compositor.render_strips()
        await on.pilot.press("m")
        await until(on.pilot, lambda: on.app.screen._compositor.render_strips() != before)


@pytest.mark.parametrize("task", ["text-classification", "causal-lm"])
async def test_texts_with_their_tokens(opened, task: str) -> None:
    async with opened(config(task)) as on:
        await on.says("of [b]a disc[/b]", "99 tokens")
        await until(on.pilot, lambda: "longest has 99" in " ".join(on.screen.text.split()))
        said = " ".join(on.screen.text.split())
        assert "3 are cut to 64" in said
        before = len(on.inspector.seen)
        await on.pilot.press("a")  # texts are not augmented
        await on.press("t")
        assert len(on.inspector.seen) == before + 1


async def test_what_is_broken_says_so(opened) -> None:
    async with opened(config(), (200, 50)) as on:
        for _ in range(5):
            if "cut short [red]here" in on.text:
                break
            await on.press("n")
            await on.says("▀")
            await on.pilot.pause()
        await on.says("cut short [red]here")


async def test_errors_are_a_sentence(opened) -> None:
    async with opened(config(), problem='data.path: "[b]discs" does not exist.') as on:
        await on.says('"[b]discs" does not exist.')
        assert not on.inspector.seen
    async with opened(Draft().config) as on:
        await on.says("set data.path first")
        await on.pilot.press("n", "a", "t", "m", "enter", "j")
        await on.pilot.press("escape")
        await until(on.pilot, lambda: not isinstance(on.app.screen, DataScreen))


async def test_a_draft_without_a_model(opened) -> None:
    async with opened(config(model=ModelConfig(""))) as on:
        await on.says("▀")
        assert on.screen.config.model.name == NO_MODEL


async def test_ascii_says_what_it_can_not_draw(opened) -> None:
    async with opened(config("semantic-segmentation"), ascii_only=True) as on:
        await on.says("ASCII can't")
        await until(on.pilot, lambda: "nearly so" in on.screen.text)
        assert on.text.isascii()


def test_a_page_goes_all_over() -> None:
    for total in (1, 2, 3, 10, 97, 1000):
        order = [scattered(n, total) for n in range(total)]
        assert sorted(order) == list(range(total))
    assert len({n // 100 for n in [scattered(n, 1000) for n in range(9)]}) == 9
