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
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

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
_SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": POSITIONS,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
    **dict.fromkeys(("intermediate_size", "hidden_dim", "n_inner"), 2 * WIDTH),
}
"""What configs call these, whatever the family; a config takes no notice of others' names."""
FAMILIES = ["bert", "roberta", "deberta-v2", "distilbert", "gpt2", "llama"]


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


def save(
    folder: Path, family: str = "bert", with_tokenizer: bool = True, kind: Any = AutoModel
) -> Path:
    """By default the base model without a head, as encoders are published."""
    torch.manual_seed(3)
    kind.from_config(AutoConfig.for_model(family, **_SMALL)).save_pretrained(folder)
    if with_tokenizer:
        tokenizer().save_pretrained(folder)
    return folder
