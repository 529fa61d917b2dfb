"""What a step costs, below the module tree."""

from pathlib import Path

from msgspec.structs import replace

from engine.contract import events as e
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.rules import Rule
from ftui import costs
from ftui.app import FtuiApp
from ftui.draft import Draft
from ftui.panes.modules import ModulesPane
from tests.ui.conftest import notices, until
from tests.ui.inspectors import FakeInspector
from tests.ui.scripted import CONFIG, ScriptedRun, resnet18

HEAD = (
    "memory 1.0 GiB; fits in 5.0 GiB of cpu\n"
    "weights 100.0 MiB, gradients 2.0 MiB, optimizer 2.0 MiB, activations 512.0 MiB\n"
    "step of 32: 80 GFLOP, about 2 s; cache would save 500 ms unaugmented"
)


def lines_of(app: FtuiApp) -> str:
    return app.main.query_one(ModulesPane).cost.text


async def test_each_edit_of_a_draft_is_costed_and_the_change_told(runs_dir: Path) -> None:
    app = FtuiApp(runs_dir, inspector=(inspector := FakeInspector()))
    async with app.run_test(size=(120, 40)) as pilot:
        app.workspace.draft = Draft(CONFIG, resnet18())
        app.main.show()
        await until(pilot, lambda: lines_of(app) == HEAD)
        inspector.let_go.clear()
        await pilot.press("2", *"jj", "space")
        await until(pilot, lambda: len(inspector.costed) == 2)
        assert lines_of(app) == f"before: {HEAD}"  # and keys are not held up
        await pilot.press("k", "space")
        await until(pilot, lambda: len(inspector.costed) == 3)
        inspector.let_go.set()
        await until(pilot, lambda: "memory 3.0 GiB (+2.0 GiB)" in lines_of(app))
        assert "about 6 s (+4 s)" in lines_of(app)
        app.workspace.draft.set_field("data.batch_size", "8")  # no change by the plan
        app.main.show()
        await until(pilot, lambda: "step of 8:" in lines_of(app))
        assert "(+" not in lines_of(app)


async def test_a_draft_in_which_nothing_trains_is_not_started(runs_dir: Path) -> None:
    app = FtuiApp(runs_dir, inspector=FakeInspector())
    async with app.run_test(size=(120, 40)) as pilot:
        app.workspace.draft = Draft(replace(CONFIG, trainable=[Rule("*", train=False)]), resnet18())
        await pilot.press("s")
        await until(pilot, lambda: any("Everything is frozen" in x for x in notices(app)))
        assert not runs_dir.exists()


async def test_measured_beside_estimated(runs_dir: Path) -> None:
    run = ScriptedRun(runs_dir / "2026-11-23-resnet18-pets")
    run.start()
    app = FtuiApp(runs_dir, run.folder, inspector=FakeInspector())
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "about 2 s;" in lines_of(app))
        assert "measured" not in lines_of(app)
        steps = e.StepsTrained(1, [1.0] * 4, [0.1] * 4, 16.0, 3 * 2**29)
        run.tell(e.EpochStarted(1, 0), steps)
        await until(pilot, lambda: "measured" in lines_of(app))
        assert "memory 1.0 GiB, measured 1.5 GiB; fits in 6.5 GiB" in lines_of(app)
        assert "about 2 s, measured 2 s" in lines_of(app)


async def test_what_can_not_be_costed_is_a_sentence(runs_dir: Path) -> None:
    app = FtuiApp(runs_dir, inspector=(inspector := FakeInspector()))
    async with app.run_test(size=(80, 24)) as pilot:
        inspector.error = "data.image_size: it can't take [b]7[/b]."
        app.workspace.draft = Draft(CONFIG, resnet18())
        await pilot.press("2")
        await until(pilot, lambda: lines_of(app) == f"No estimate of costs: {inspector.error}")


def test_texts_cost_what_the_longest_of_them_does(runs_dir: Path) -> None:
    texts = Config("text-classification", ModelConfig("hf/a"), DataConfig("x", batch_size=16))
    app = FtuiApp(runs_dir, inspector=FakeInspector())
    app.workspace.draft = Draft(texts, resnet18())
    lengths = [costs.question(app.workspace).config.text.max_length]
    app.workspace.keep_longest(texts, 15)
    lengths.append(costs.question(app.workspace).config.text.max_length)
    assert lengths == ["auto", 15]
    app.workspace.draft = Draft(replace(texts, data=DataConfig("y")), resnet18())
    assert costs.question(app.workspace).config.text.max_length == "auto"


async def test_tokens_are_named_beside_the_memory(runs_dir: Path) -> None:
    cost = replace(await FakeInspector().cost(replace(CONFIG, trainable=[])), length=512)
    said = costs.lines(cost, None, costs.Measured(500 * 2**20, 2.0), CONFIG)
    assert " at 512 tokens, measured 500.0 MiB" in said[0]


def test_own_code_is_not_run_for_it(runs_dir: Path) -> None:
    own = Config("image-classification", ModelConfig("net.py:make"), DataConfig("x"))
    app = FtuiApp(runs_dir, inspector=FakeInspector())
    app.workspace.draft = Draft(own, replace(resnet18(), name="net.py:make"))
    assert costs.question(app.workspace) is None
    app.workspace.allow(Path("net.py"))
    assert costs.question(app.workspace) is not None


async def test_too_little_memory_is_said(runs_dir: Path) -> None:
    cost = await FakeInspector().cost(replace(CONFIG, trainable=[]))
    for peak, words in ((4, "tight in"), (6, "does not fit in"), (2, "fits in")):
        needs = replace(cost, peak=peak * 2**30)
        said = costs.lines(needs, None, costs.Measured(), CONFIG)
        assert f"; {words} 5.0 GiB of cpu" in said[0]
        assert costs.tight(needs, costs.Measured()) == (words != "fits in")
