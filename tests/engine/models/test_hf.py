"""Models of Transformers: from folders and from the hub's cache, by the library's own loading."""

import json
import shutil
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from engine import adapters, models
from engine.contract.depth import repeated_blocks
from engine.contract.errors import UserError
from engine.contract.methods import METHODS
from engine.contract.plan import resolve, trainable_parameters
from engine.contract.tree import ModelInfo
from engine.models.hf import HfSource
from engine.models.source import LoadedModel, Wanted
from tests.engine.models.language import FAMILIES, POSITIONS, VOCABULARY, WIDTH, save

pytest.importorskip("transformers")
HEADS = {
    "bert": ["classifier"],
    "roberta": ["classifier"],
    "deberta-v2": ["pooler", "classifier"],
    "distilbert": ["pre_classifier", "classifier"],
    "gpt2": ["score"],
    "llama": ["score"],
}
IDS = torch.tensor([[2, 4, 8, 3], [2, 6, 3, 0]])


def load(name: object, weights: str = "DEFAULT", task: str = "text-classification") -> LoadedModel:
    return HfSource().load(Wanted(str(name), weights, task, classes=3), lambda _: None)


def trains(method: str, info: ModelInfo) -> int:
    return trainable_parameters(resolve(METHODS[method].rules(info), info), info)


@pytest.mark.parametrize("family", HEADS)
def test_five_families_and_llama(family: str, tmp_path: Path) -> None:
    folder = save(tmp_path / "m", family)
    model = load(folder)
    assert model.info.head == HEADS[family]
    assert len(repeated_blocks(model.info)) == 2
    assert model.info.preprocessing is None
    fused = model.module._supports_sdpa
    assert model.module.config._attn_implementation == ("sdpa" if fused else "eager")
    assert model.info == HfSource().describe(
        Wanted(str(folder), task="text-classification", classes=3)
    )
    logits = model.module(input_ids=IDS, attention_mask=(IDS != 0).long()).logits
    assert logits.shape == (2, 3)
    published = load_file(folder / "model.safetensors")
    mine = model.module.base_model.state_dict()
    if family == "roberta":  # classified without the pooler
        published = {n: t for n, t in published.items() if not n.startswith("pooler")}
    assert all(torch.equal(mine[name], tensor) for name, tensor in published.items())


def test_positions(tmp_path: Path) -> None:
    assert load(save(tmp_path / "b")).info.positions == POSITIONS
    # RoBERTa's first two are for padding
    assert load(save(tmp_path / "r", "roberta")).info.positions == POSITIONS - 1


def test_methods_count_on_bert(tmp_path: Path) -> None:
    info = load(save(tmp_path / "m")).info
    linear, norm = WIDTH * WIDTH + WIDTH, 2 * WIDTH
    head = 3 * WIDTH + 3
    feed_forward = 2 * WIDTH * 2 * WIDTH + 3 * WIDTH
    block = 4 * linear + 2 * norm + feed_forward
    embeddings = (VOCABULARY + POSITIONS + 2) * WIDTH + norm
    pooler = linear
    assert trains("linear-probe", info) == head
    assert trains("full", info) == embeddings + 2 * block + pooler + head
    assert trains("layer-decay", info) == trains("full", info)
    assert trains("last-1", info) == block + pooler + head
    assert trains("norm-only", info) == 5 * norm + head
    # queries, keys, values and the output projection with its norm, which stand beside each other
    assert trains("attention-only", info) == 2 * (4 * linear + norm) + head
    biases = 2 * (4 * WIDTH + 3 * WIDTH + 2 * WIDTH) + WIDTH + WIDTH
    assert trains("bitfit", info) == biases + head
    adapted = 2 * (4 * (WIDTH + WIDTH) + 2 * (WIDTH + 2 * WIDTH)) + 2 * WIDTH
    assert trains("lora", info) == 8 * adapted + head


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_adapters_on_gpt2s_turned_layers(method: str, tmp_path: Path) -> None:
    """They change nothing at first, train, and what is exported computes the same without them."""
    model = load(save(tmp_path / "m", "gpt2"))
    module = model.module.eval()
    before = module(input_ids=IDS).logits
    adapters.apply(module, resolve(METHODS[method].rules(model.info), model.info), seed=0)
    assert torch.allclose(module(input_ids=IDS).logits, before, atol=1e-6)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "lora_" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    after = module(input_ids=IDS).logits
    assert not torch.allclose(after, before, atol=1e-3)
    merged = adapters.merged_state_dict(module)
    adapters.fit(module, {})
    module.load_state_dict(merged)
    assert torch.allclose(module(input_ids=IDS).logits, after, atol=1e-5)


def test_the_head_follows_the_seed_and_one_of_ones_own_is_kept(tmp_path: Path) -> None:
    folder = save(tmp_path / "m")
    heads = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        heads.append(load(folder).module.classifier.weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    mine = load(folder).module
    mine.save_pretrained(folder)
    again = load(folder)
    assert torch.equal(again.module.classifier.weight, mine.classifier.weight)
    assert again.weights.endswith("head included")
    other = HfSource().load(
        Wanted(str(folder), task="text-classification", classes=5), lambda _: None
    )
    assert other.module.classifier.out_features == 5


def test_a_pickle_and_a_file_of_another_name(tmp_path: Path) -> None:
    folder = save(tmp_path / "m")
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    name = "embeddings.word_embeddings.weight"
    assert torch.equal(load(folder).module.bert.get_parameter(name), state[name])
    torch.save({f"module.{key}": 2 * tensor for key, tensor in state.items()}, tmp_path / "w.pth")
    mine = load(folder, str(tmp_path / "w.pth")).module
    assert torch.equal(mine.bert.get_parameter(name), 2 * state[name])


def test_a_file_on_disk_can_change_afterwards(tmp_path: Path) -> None:
    folder = save(tmp_path / "m")
    module = load(folder).module
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    size = (folder / "model.safetensors").stat().st_size
    with (folder / "model.safetensors").open("r+b") as file:
        file.write(b"\xff" * size)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_causal_models_and_tied_embeddings(tmp_path: Path) -> None:
    tied = load(save(tmp_path / "g", "gpt2"), task="causal-lm")
    assert tied.info.head == ["transformer.wte"]
    assert tied.module.lm_head.weight is tied.module.transformer.wte.weight
    with pytest.raises(UserError, match=r"1 tensors are missing \(lm_head.weight\)"):
        load(save(tmp_path / "l", "llama"), task="causal-lm")
    untied = HfSource().load(Wanted(str(tmp_path / "l"), "none", "causal-lm"), lambda _: None)
    assert untied.info.head == ["lm_head"]


def test_seven_billion_parameters_without_memory(tmp_path: Path) -> None:
    from transformers import LlamaConfig

    LlamaConfig().save_pretrained(tmp_path)
    models.describe(str(tmp_path), task="causal-lm")  # what is imported once
    began = time.process_time()
    info = models.describe(str(tmp_path), task="causal-lm")
    assert info.total_parameters == 6_738_415_616
    assert time.process_time() - began < 5  # it takes a tenth of a second


def test_the_cache_is_used_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(hub))
    monkeypatch.setattr("engine.models.repository.reach", lambda _: pytest.fail("the network"))
    place = hub / "models--org--small"
    save(place / "snapshots" / "0a1b")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0a1b")
    assert load("org/small").info.name == "hf/org/small"
    entry = next(x for x in HfSource().catalogue() if x.name == "hf/org/small")
    assert entry.tasks == ("text-classification",)
    assert (hub / str(entry.weights_file)).is_dir()


def test_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.models.download import UnreachableError

    def reach(_endpoint: str) -> None:
        raise UnreachableError("no route to host")

    monkeypatch.setattr("engine.models.repository.reach", reach)
    with pytest.raises(UserError, match=r"no route to host\): get config.json, .*HF_HOME"):
        load("nobody/has-this")


def _without(folder: Path, *patterns: str) -> None:
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink()


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path) -> None:
    def said(
        change, words: str, task: str = "text-classification", weights: str = "DEFAULT"
    ) -> None:
        shutil.rmtree(tmp_path / "m", ignore_errors=True)
        folder = save(tmp_path / "m")
        change(folder)
        with pytest.raises(UserError, match=words):
            load(folder, weights, task)

    def config(**changes: object):
        def change(folder: Path) -> None:
            found = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps(found | changes))

        return change

    def code(folder: Path) -> None:
        _without(folder, "*.safetensors")
        torch.save({"a": nn.Linear}, folder / "pytorch_model.bin")

    def another(folder: Path) -> None:
        save(folder / "other", "distilbert")
        (folder / "other" / "model.safetensors").replace(folder / "model.safetensors")

    said(lambda folder: shutil.rmtree(folder), "does not exist")
    said(lambda folder: _without(folder, "config.json"), "has no config.json")
    said(lambda folder: _without(folder, "tokenizer*", "vocab*"), "has no tokenizer")
    said(lambda folder: _without(folder, "*.safetensors"), "no weights")
    said(lambda folder: (folder / "model.safetensors").write_bytes(b"x"), "can't be read")
    said(code, "never opened")
    said(another, "does not fit .* tensors are missing")
    said(config(model_type="mystery"), '"mystery", that Transformers')
    said(config(model_type="mystery", auto_map={}), "code of its own")
    said(config(model_type="vit"), "no text-classification model|is not one of a vit")
    said(config(), "not for image-classification", task="image-classification")
    said(lambda _: None, "does not exist", weights="no/such.safetensors")


def test_a_tensor_of_another_shape_is_named(tmp_path: Path) -> None:
    folder = save(tmp_path / "m")
    state = load_file(folder / "model.safetensors")
    state["embeddings.position_embeddings.weight"] = torch.zeros(7, WIDTH)
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        UserError, match=rf"position_embeddings.weight is 7×{WIDTH}, not 40×{WIDTH}"
    ):
        load(folder)


def test_dropout_is_set(tmp_path: Path) -> None:
    from engine.contract.training_tables import RegularisationConfig
    from engine.models import dropout

    for family in FAMILIES:
        module = load(save(tmp_path / family, family)).module
        dropout.override(module, {}, RegularisationConfig(dropout=0.25))
        rates = {m.p for m in module.modules() if isinstance(m, nn.Dropout)}
        assert rates == ({0.25} if family != "llama" else set())
    assert module.model.layers[0].self_attn.attention_dropout == 0.25
