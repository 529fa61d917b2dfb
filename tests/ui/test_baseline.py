"""What TF-IDF comes to: one press in the app, one command without it."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from engine.contract import events as e
from engine.contract import toml
from engine.contract.config import Config, DataConfig, ModelConfig
from engine.contract.inspection import TextBaseline
from engine.runs.inspect import Inspector
from ftui.app import FtuiApp
from ftui.cli.baseline import baseline
from ftui.draft import Draft
from ftui.widgets.banner import Banner
from tests.ui.conftest import caught_up, until
from tests.ui.inspectors import TEXT_BASELINE, FakeInspector
from tests.ui.scripted import ScriptedRun

TEXTS = Config("text-classification", ModelConfig("hf/a/b"), DataConfig("data/news"))
WORDS = (
    "TF-IDF with logistic regression: accuracy 98.6 %, macro F1 98.5 % on 727 texts; always saying "
    "'[b]sport[/b]' gives accuracy 23.0 %, macro F1 7.5 %."
)


def notices(app: FtuiApp) -> list[str]:
    return [notice.message for notice in app._notifications]


@pytest.fixture
def finished(runs_dir: Path) -> ScriptedRun:
    run = ScriptedRun(runs_dir / "2026-11-23-minilm-news", TEXTS)
    run.start()
    figures = {"accuracy": 0.96, "macro_f1": 0.95}
    evaluated = e.Evaluated(0, 1, "epoch", 0.2, figures, 727, 1.0)
    run.tell(evaluated, e.RunFinished(0))
    run.die()
    return run


async def test_a_press_tells_it_and_it_stays_beside_the_result(
    runs_dir: Path, finished: ScriptedRun
) -> None:
    app = FtuiApp(runs_dir, finished.folder, inspector=(inspector := FakeInspector()))
    async with app.run_test(size=(160, 40)) as pilot:
        await until(pilot, lambda: app.workspace.run is not None and caught_up(app, finished))
        banner = app.main.query_one(Banner)
        assert "TF-IDF" not in banner.text
        await pilot.press("I")
        await until(pilot, lambda: WORDS in notices(app))
        assert [config.data for config in inspector.fitted] == [TEXTS.data]
        assert ", TF-IDF 98.6 %." in banner.text
        app.workspace.new_draft()
        assert app.workspace.baseline == TEXT_BASELINE
        app.workspace.draft.set_field("data.split_seed", "1")
        assert app.workspace.baseline is None


async def test_of_a_draft_and_what_is_missing(runs_dir: Path) -> None:
    app = FtuiApp(runs_dir, inspector=(inspector := FakeInspector()))
    async with app.run_test() as pilot:
        app.workspace.draft = Draft(replace(TEXTS, data=DataConfig("")))
        await pilot.press("I")
        await until(pilot, lambda: "Set data.path first (6)." in notices(app))
        assert not inspector.fitted
        app.workspace.draft = Draft(TEXTS)
        inspector.error = "The TF-IDF baseline needs scikit-learn."
        await pilot.press("I")
        await until(pilot, lambda: inspector.error in notices(app))
        assert app.workspace.baseline is None


async def test_it_is_for_texts_only(runs_dir: Path) -> None:
    app = FtuiApp(runs_dir, inspector=FakeInspector())
    async with app.run_test():
        assert not app.main.check_action("baseline", ())
        app.workspace.draft = Draft(TEXTS)
        assert app.main.check_action("baseline", ())


@pytest.mark.parametrize("by", ["config", "run"])
def test_the_command(
    by: str, tmp_path: Path, runs_dir: Path, finished: ScriptedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Config] = []

    async def fit(_: Inspector, config: Config) -> TextBaseline:
        asked.append(config)
        return TEXT_BASELINE

    monkeypatch.setattr(Inspector, "baseline", fit)
    (tmp_path / "news.toml").write_text(toml.dump(TEXTS))
    which = str(tmp_path / "news.toml") if by == "config" else "2026-11-23"
    words = [which, "--runs-dir", str(runs_dir), "--set", "data.split_seed=3"]
    done = CliRunner().invoke(baseline, words, catch_exceptions=False)
    assert done.output == f"{WORDS}\nlearnt from 1,400 texts in 4s\n"
    assert asked == [replace(TEXTS, data=replace(TEXTS.data, split_seed=3))]
