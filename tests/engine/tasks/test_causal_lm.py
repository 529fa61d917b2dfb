"""Small language models from the disk, trained by the real worker's parts."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers
from msgspec.structs import replace
from torch import Tensor, nn
from torch.nn import functional as F

from engine import checkpoint, shards
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract import methods, plan
from engine.contract.config import Config, DataConfig, ModelConfig, TextConfig
from engine.contract.errors import UserError
from engine.contract.rules import Rule
from engine.contract.table import Table
from engine.contract.training_tables import (
    CheckpointConfig,
    OptimizerConfig,
    RegularisationConfig,
    TrainingConfig,
)
from engine.device import choose
from engine.loop import train
from engine.obey import obey
from engine.past import Past
from engine.prepare import prepare
from engine.session import Session
from engine.tasks import TASKS
from engine.tasks.next_token import NextToken
from tests.engine.language import KINDS, POSITIONS, TEXT, tokenizer, written
from tests.engine.sessions import ALL, fold, of, run, same, tensors


def config(model: Path, text: Path, /, **tables: Table | list[Rule]) -> Config:
    plain = Config(
        task="causal-lm",
        model=ModelConfig(str(model)),
        data=DataConfig(str(text), batch_size=8),
        text=TextConfig(max_length=16, sample_tokens=5),
        trainable=ALL,
        optimizer=OptimizerConfig(name="adamw", lr=0.01),
        training=TrainingConfig(epochs=2, device="cpu"),
    )
    return replace(plain, **tables)  # type: ignore[arg-type]


@pytest.fixture(params=list(KINDS))
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return written(tmp_path / request.param, request.param)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return written(tmp_path / "gpt2")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    file = tmp_path / "text.txt"
    file.write_text(TEXT)
    return file


def session(
    folder: Path, asked: Config, journal: list[e.Event] | None = None
) -> tuple[Session, list[e.Event]]:
    """Prepared as the worker does, from the newest checkpoint; what was told on the way."""
    folder.mkdir(exist_ok=True)
    past, told = Past(), list[e.Event]()
    for event in journal or []:
        past.apply(event)
    saved, _ = checkpoint.newest(folder)
    return prepare(asked, folder, past, saved, told.append, []), told


def test_perplexity_falls_under_that_of_frequencies(
    model: Path, text: Path, tmp_path: Path
) -> None:
    made, told = session(tmp_path / "run", config(model, text))
    state = fold([_started(made), *told, *run(made)])
    (first, last), (_, said) = state.evaluations, state.generated
    assert state.data
    assert state.data.baseline
    assert last.figures["perplexity"] < first.figures["perplexity"] < state.data.baseline.value
    assert last.figures["perplexity"] == pytest.approx(math.exp(last.loss or 0))
    assert last.figures["token_accuracy"] >= first.figures["token_accuracy"] > 0
    assert said.prompt
    assert said.text


def _started(made: Session) -> e.Event:
    return e.RunStarted(pid=1, host="", versions={}, config=made.config)


def test_the_finished_model_opens_in_transformers(model: Path, text: Path, tmp_path: Path) -> None:
    """Its tied weights are one tensor there, too."""
    made, _ = session(tmp_path / "run", config(model, text))
    run(made)
    shutil.copy(tmp_path / "run" / "model.safetensors", model)
    found = transformers.AutoModelForCausalLM.from_pretrained(model)
    ids = torch.arange(10)[None]
    assert torch.equal(found.eval()(input_ids=ids).logits, _best(made, tmp_path / "run", ids))


def _best(made: Session, folder: Path, ids: Tensor) -> Tensor:
    made.module.load_state_dict(shards.read(checkpoint.best(folder).path), strict=False)
    with torch.no_grad():
        logits: Tensor = made.module.eval()(input_ids=ids).logits
    return logits


def test_a_frozen_table_of_tokens_is_a_frozen_head(small: Path, text: Path, tmp_path: Path) -> None:
    asked = config(small, text, trainable=[Rule("*"), Rule("transformer.wte", train=False)])
    made, _ = session(tmp_path / "run", asked)
    before = tensors(made.module)
    run(made)
    after = tensors(made.module)
    assert torch.equal(before["lm_head.weight"], after["lm_head.weight"])
    assert made.module.lm_head.weight is made.module.transformer.wte.weight
    assert not torch.equal(
        before["transformer.h.0.mlp.c_fc.weight"], after["transformer.h.0.mlp.c_fc.weight"]
    )


NOT_FOR = [("llama", "bitfit")]
"""It has no biases."""


@pytest.mark.parametrize("name", methods.METHODS)
def test_methods_make_plans_that_train(model: Path, text: Path, tmp_path: Path, name: str) -> None:
    made, _ = session(tmp_path / "run", config(model, text))
    if (model.name, name) in NOT_FOR:
        with pytest.raises(UserError, match="outside its head"):
            methods.METHODS[name].rules(made.info)
        return
    rules = methods.METHODS[name].rules(made.info)
    assert plan.trainable_parameters(plan.resolve(rules, made.info), made.info) > 0
    made.set_plan(rules)
    (event, *_) = [x for x in train(made) if isinstance(x, e.StepsTrained)]
    assert event.loss[0]


def test_last_blocks_are_those_of_the_transformer(model: Path, text: Path, tmp_path: Path) -> None:
    made, _ = session(tmp_path / "run", config(model, text))
    assigned = plan.resolve(methods.METHODS["last-1"].rules(made.info), made.info)
    trains = {name for name, says in assigned.items() if says.train}
    layers = "transformer.h" if model.name == "gpt2" else "model.layers"
    assert any(name.startswith(f"{layers}.1.") for name in trains)
    assert not any(name.startswith(f"{layers}.0.") for name in trains)
    assert {f"{path}.weight" for path in made.info.head} <= trains


def test_killed_at_every_step(model: Path, tmp_path: Path) -> None:
    """Also where a plan changed and a moving average runs along."""
    text = tmp_path / "short.txt"
    text.write_text(TEXT[:2200])
    asked = config(
        model,
        text,
        checkpoints=CheckpointConfig(every_steps=2),
        regularisation=RegularisationConfig(ema=0.9),
    )
    layer = "transformer.h.0" if model.name == "gpt2" else "model.layers.0"
    steer = (3, c.Freeze(layer))
    calm, told = session(tmp_path / "calm", asked)
    calm_events = run(calm, [steer])
    assert calm.progress.step > 4
    for stop in range(1, calm.progress.step):
        folder = tmp_path / f"struck-{stop}"
        made, journal = session(folder, asked)
        journal = [_started(made), *journal]
        for event in _until(made, stop, steer):
            journal.append(event)
        again, _ = session(folder, asked, journal)
        left = [] if again.redo or again.progress.step >= 3 else [steer]
        told = run(again, left)
        assert same(tensors(calm.module), tensors(again.module)), stop
        assert torch.equal(calm.device.rng_state()["cpu"], again.device.rng_state()["cpu"])
        assert _said(told) == _said(calm_events)[-len(_said(told)) :]


def _until(made: Session, stop: int, steer: tuple[int, c.AnyCommand]) -> Iterator[e.Event]:
    obeyed = False
    for event in train(made):
        if event is not None:
            yield event
            continue
        if not obeyed and made.progress.step >= steer[0]:
            obeyed = True
            yield from obey(made, steer[1])
        if made.progress.step >= stop:
            return


def _said(events: list[e.Event]) -> list[tuple[int, str]]:
    return [(x.step, x.text) for x in of(e.TextGenerated, events) if isinstance(x, e.TextGenerated)]


def test_a_text_costs_training_nothing(small: Path, text: Path, tmp_path: Path) -> None:
    found = []
    for tokens in (0, 20):
        asked = config(small, text, text=TextConfig(max_length=16, sample_tokens=tokens))
        made, _ = session(tmp_path / f"run-{tokens}", asked)
        told = run(made)
        assert bool(of(e.TextGenerated, told)) == bool(tokens)
        found.append(tensors(made.module))
    assert same(*found)


def test_a_prompt_of_the_users_own(small: Path, text: Path, tmp_path: Path) -> None:
    asked = config(small, text, text=TextConfig(max_length=16, sample_prompt="the cat\x1b[2J"))
    made, _ = session(tmp_path / "run", asked)
    (said, *_) = of(e.TextGenerated, run(made))
    assert isinstance(said, e.TextGenerated)
    assert said.prompt == "the cat"


def test_batches_in_pieces_and_accumulated_have_the_same_loss() -> None:
    asked = config(Path("./m"), Path("t"))
    objective = NextToken(asked, tokenizer(), [1], 16)
    torch.manual_seed(0)
    logits, targets = torch.randn(4, 16, 300), torch.randint(0, 300, (4, 16))
    whole = objective.loss(logits, targets)
    parts = [objective.loss(*x) for x in zip(logits.split(2), targets.split(2), strict=True)]
    assert torch.isclose(torch.stack(parts).mean(), whole)
    assert whole == F.cross_entropy(logits.transpose(1, 2), targets)
    measured = objective.measure(logits, targets)
    found = objective.figures(measured.sums.tolist(), measured.rows)
    assert found.loss == pytest.approx(whole.item(), rel=1e-6)


def test_a_model_that_gives_nothing_finite_says_nothing() -> None:
    class Broken(nn.Module):
        def forward(self, input_ids: Tensor, use_cache: bool) -> SimpleNamespace:
            return SimpleNamespace(logits=torch.full((*input_ids.shape, 300), math.nan))

    asked = config(Path("./m"), Path("t"))
    said = NextToken(asked, tokenizer(), [1, 2], 16).generate(
        Broken(), choose(asked.training), step=1
    )
    assert said
    assert said.text == ""
    assert NextToken(asked, tokenizer(), [1], 16).figures(
        [1e6, 0.0], torch.zeros(1, 2)
    ).figures == {"token_accuracy": 0.0}


def test_auto_takes_shorter_blocks_for_little_text(small: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    asked = config(small, text, text=TextConfig())
    told: list[str] = []
    index = TASKS["causal-lm"].index(asked, told.append)
    assert index.train.length == POSITIONS
    assert told[-1].endswith("left over)")


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"text": TextConfig(max_length=65)}, "takes 64 tokens at once, not 65"),
        ({"regularisation": RegularisationConfig(mixup=0.2)}, "mixup: blends pictures"),
        ({"regularisation": RegularisationConfig(sampling="balanced")}, "balances classes"),
        ({"model": ModelConfig("torchvision/resnet18")}, "reads no text"),
    ],
)
def test_what_can_not_be_is_one_sentence(
    small: Path, text: Path, tmp_path: Path, tables: dict[str, Table], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        session(tmp_path / "run", config(small, text, **tables))


def test_too_little_text(small: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the cat sat")
    with pytest.raises(UserError, match="too few for one block of 16"):
        session(tmp_path / "run", config(small, text))


def test_no_tokenizer(small: Path, text: Path, tmp_path: Path) -> None:
    (small / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="has no tokenizer"):
        session(tmp_path / "run", config(small, text))
