"""TF-IDF with logistic regression on the texts of a config."""

import sys
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace

from engine import baseline
from engine.contract.config import Config, DataConfig, ModelConfig, TextConfig
from engine.contract.errors import UserError
from engine.data.texts import index_texts
from engine.tasks.text_classification import ClassifyingTexts

pytest.importorskip("sklearn")


@pytest.fixture
def asked(tmp_path: Path) -> Config:
    """Two topics in words of their own, one of them rarer."""
    about = {"sea": ("ship", "wave", "harbour", "tide"), "sky": ("cloud", "wing", "star", "wind")}
    rows = [
        f"{word} and {other} {'more ' * n},{topic}"
        for topic, words in about.items()
        for word in words
        for other in words
        for n in range(2 if topic == "sea" else 1)
    ]
    (tmp_path / "topics.csv").write_text("\n".join(["said,topic", *rows]))
    return Config(
        task="text-classification",
        model=ModelConfig("./nowhere"),
        data=DataConfig(str(tmp_path / "topics.csv")),
        text=TextConfig(text_column="said", label_column="topic"),
    )


def test_it_learns_what_the_words_tell(asked: Config) -> None:
    found = baseline.fit(asked)
    index = index_texts(asked, lambda _: None)
    assert (found.train, found.val) == (len(index.train), len(index.val))
    assert found.tfidf == {"accuracy": 1.0, "macro_f1": 1.0}
    assert found.commonest == "sea"
    told = index.told().baseline
    assert told is not None
    assert found.majority["accuracy"] == told.value


def test_its_figures_are_those_of_an_evaluation(asked: Config) -> None:
    index = index_texts(asked, lambda _: None)
    objective = ClassifyingTexts(asked, index.counts(index.train))
    labels = torch.tensor([sample.label for sample in index.val])
    found = objective.measure(torch.tensor([[1.0, 0.0]]).expand(len(labels), 2), labels)
    evaluated = objective.figures(found.sums.tolist(), found.rows).figures
    assert baseline.fit(asked).majority == pytest.approx(evaluated)


def test_texts_without_words_are_told_apart_too(asked: Config, tmp_path: Path) -> None:
    rows = [f"{'! ' * n}{mark},{mark}" for n in range(1, 9) for mark in (":", "?")]
    (tmp_path / "marks.csv").write_text("\n".join(["said,topic", *rows]))
    asked = replace(asked, data=DataConfig(str(tmp_path / "marks.csv")))
    assert baseline.fit(asked).tfidf["accuracy"] == 1.0


def test_what_is_wrong_is_said(asked: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="not of image-classification"):
        baseline.fit(replace(asked, task="image-classification"))
    with pytest.raises(UserError, match="does not exist"):
        baseline.fit(replace(asked, data=DataConfig("nowhere.csv")))
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(UserError, match=r"pip install 'finetune-tui\[baseline\]'$"):
        baseline.fit(asked)
