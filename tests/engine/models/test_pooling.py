"""Heads that read the mean of the tokens or the first one, as checkpoints say they were trained."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.contract.errors import UserError
from engine.models.hf import HfSource
from engine.models.pooling import stated
from engine.models.source import LoadedModel, Wanted
from tests.engine.models.language import save

transformers = pytest.importorskip("transformers")
IDS = torch.tensor([[2, 4, 8, 3], [2, 6, 3, 0]])
MASK = (IDS != 0).long()


def wanted(folder: Path, pooling: str = "auto", weights: str = "DEFAULT") -> Wanted:
    return Wanted(str(folder), weights, "text-classification", 3, pooling=pooling)


def load(folder: Path, pooling: str = "auto", weights: str = "DEFAULT") -> LoadedModel:
    loaded = HfSource().load(wanted(folder, pooling, weights), lambda _: None)
    loaded.module.eval()
    return loaded


def say(folder: Path, **modes: object) -> Path:
    """As sentence-transformers writes it."""
    (folder / "1_Pooling").mkdir(exist_ok=True)
    said = {"word_embedding_dimension": 32, "pooling_mode_max_tokens": False} | modes
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(said))
    return folder


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "deberta", "gpt2"])
def test_the_mean_of_the_tokens_that_are_no_padding(family: str, tmp_path: Path) -> None:
    folder = say(save(tmp_path / "m", family), pooling_mode_mean_tokens=True)
    model = load(folder)
    assert (model.info.pooling, model.info.head) == ("mean", ["classifier"])
    assert model.weights.endswith("its head reads the mean of the tokens")
    assert model.info == HfSource().describe(wanted(folder))
    encoder = transformers.AutoModel.from_pretrained(folder).eval()
    hidden = encoder(input_ids=IDS, attention_mask=MASK).last_hidden_state
    head = model.module.classifier
    by_hand = head(torch.stack([hidden[0].mean(0), hidden[1, :3].mean(0)]))
    logits = model.module(input_ids=IDS, attention_mask=MASK).logits
    assert torch.allclose(logits, by_hand, atol=1e-6)
    assert not any("pooler" in name for name in model.module.state_dict())


def test_what_is_asked_for_wins(tmp_path: Path) -> None:
    folder = say(save(tmp_path / "m"), pooling_mode_mean_tokens=True)
    first = load(folder, "cls")
    encoder = transformers.AutoModel.from_pretrained(folder).eval()
    hidden = encoder(input_ids=IDS, attention_mask=MASK).last_hidden_state
    logits = first.module(input_ids=IDS, attention_mask=MASK).logits
    assert torch.allclose(logits, first.module.classifier(hidden[:, 0]), atol=1e-6)
    own = load(folder, "model")
    assert own.info.pooling == ""
    assert type(own.module).__name__ == "BertForSequenceClassification"


def test_what_a_checkpoint_says(tmp_path: Path) -> None:
    assert stated(tmp_path) == "model"
    assert stated(say(tmp_path, pooling_mode_cls_token=True)) == "cls"
    both = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}
    assert stated(say(tmp_path, **both)) == "model"
    assert stated(say(tmp_path, pooling_mode_lasttoken=True)) == "model"
    (tmp_path / "1_Pooling" / "config.json").write_text("[spoilt")
    assert stated(tmp_path) == "model"


def test_a_finished_one_goes_on(tmp_path: Path) -> None:
    folder = say(save(tmp_path / "m"), pooling_mode_mean_tokens=True)
    finished = load(folder).module
    save_file(finished.state_dict(), tmp_path / "w.safetensors", {"format": "pt"})
    again = load(folder, weights=str(tmp_path / "w.safetensors"))
    assert torch.equal(again.module.classifier.weight, finished.classifier.weight)
    assert "head included" in again.weights


def test_the_readmes_words_for_a_finished_file(tmp_path: Path) -> None:
    folder = say(save(tmp_path / "m"), pooling_mode_mean_tokens=True)
    module = load(folder).module
    state = module.state_dict()
    encoder = transformers.AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    encoder.load_state_dict({k[5:]: v for k, v in state.items() if k.startswith("bert.")})
    hidden, mask = encoder(IDS, attention_mask=MASK).last_hidden_state, MASK[..., None]
    mean = (hidden * mask).sum(1) / mask.sum(1)
    logits = mean @ state["classifier.weight"].T + state["classifier.bias"]
    assert torch.allclose(logits, module(IDS, MASK).logits, atol=1e-6)


def test_a_decoders_tokens_are_not_pooled(tmp_path: Path) -> None:
    config = transformers.T5Config(
        vocab_size=12, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2
    )
    config.save_pretrained(tmp_path)
    say(tmp_path, pooling_mode_mean_tokens=True)
    with pytest.raises(UserError, match="has a decoder"):
        HfSource().describe(wanted(tmp_path, "mean"))
    assert HfSource().describe(wanted(tmp_path)).pooling == ""
