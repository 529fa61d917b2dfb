"""Small language models with random weights, written to the disk as Transformers writes them."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

END = "<|endoftext|>"
LINES = [f"the {thing} sat on the {place}" for thing in ("cat", "dog") for place in ("mat", "hat")]
TEXT = "\n".join(LINES[i % 4] for i in range(400)) + "\n"
POSITIONS = 64
VOCABULARY = 300


def tokenizer() -> Any:
    """Of bytes, as GPT-2's, of 300 tokens."""
    built = Tokenizer(models.BPE())
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    built.train_from_iterator([TEXT], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=built, eos_token=END)


def gpt2() -> GPT2LMHeadModel:
    """Two layers, 64 positions; its head is its table of tokens."""
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCABULARY, n_positions=POSITIONS, n_embd=32, n_layer=2, n_head=2)
    )


def llama() -> LlamaForCausalLM:
    """Two layers, 64 positions, a head of its own."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=POSITIONS,
        )
    )


KINDS = {"gpt2": gpt2, "llama": llama}


def written(folder: Path, kind: str = "gpt2") -> Path:
    """A model with its tokenizer in `folder`."""
    KINDS[kind]().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
