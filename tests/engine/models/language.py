"""Small language models in Transformers' format, with random weights, written to disk by the
library's own `save_pretrained`, and a tokenizer of a dozen words."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModel,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "good",
    "fine",
    "bad",
    "poor",
    "film",
    "the",
    "##s",
    "a",
]
VOCABULARY, WIDTH, POSITIONS = len(WORDS), 32, 40
_BERT = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 2 * WIDTH,
    "max_position_embeddings": POSITIONS,
    "pad_token_id": 0,
}
_GPT = {"n_embd": WIDTH, "n_layer": 2, "n_head": 2, "n_positions": POSITIONS}
CONFIGS: dict[str, Any] = {
    "bert": lambda: BertConfig(**_BERT),
    "roberta": lambda: RobertaConfig(**_BERT),
    "deberta": lambda: DebertaV2Config(**_BERT),
    "distilbert": lambda: DistilBertConfig(
        vocab_size=VOCABULARY,
        dim=WIDTH,
        n_layers=2,
        n_heads=2,
        hidden_dim=2 * WIDTH,
        max_position_embeddings=POSITIONS,
    ),
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCABULARY, n_inner=2 * WIDTH, bos_token_id=2, eos_token_id=3, **_GPT
    ),
    "llama": lambda: LlamaConfig(**_BERT, num_key_value_heads=2),
}


def tokenizer() -> Any:
    model = WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    made = Tokenizer(model)
    made.normalizer = BertNormalizer(lowercase=True)
    made.pre_tokenizer = BertPreTokenizer()
    special = [("[CLS]", 2), ("[SEP]", 3)]
    made.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=special)
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=made, **{f"{name}_token": word for name, word in names.items()}
    )


def save(folder: Path, family: str = "bert", with_tokenizer: bool = True) -> Path:
    """The base model without a head, as encoders are published."""
    torch.manual_seed(3)
    AutoModel.from_config(CONFIGS[family]()).save_pretrained(folder)
    if with_tokenizer:
        tokenizer().save_pretrained(folder)
    return folder
