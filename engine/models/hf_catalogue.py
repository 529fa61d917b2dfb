"""The language models on offer: those in the local cache, and a few that everybody knows."""

from engine.contract.catalogue import CatalogueEntry
from engine.contract.errors import UserError
from engine.models import repository
from engine.models.packaged import packaged_for

_CLASSIFY = ("text-classification",)
_GENERATE = ("causal-lm", "text-classification")
_GENERATORS = ("ForCausalLM", "LMHeadModel")

# name, millions of parameters, megabytes of the weights file, tasks
_KNOWN = [
    ("google-bert/bert-base-uncased", 109.5, 440, _CLASSIFY),
    ("distilbert/distilbert-base-uncased", 66.4, 268, _CLASSIFY),
    ("FacebookAI/roberta-base", 124.6, 499, _CLASSIFY),
    ("microsoft/deberta-v3-small", 141.3, 286, _CLASSIFY),
    ("sentence-transformers/all-MiniLM-L6-v2", 22.7, 91, _CLASSIFY),
    ("openai-community/gpt2", 124.4, 548, _GENERATE),
    ("HuggingFaceTB/SmolLM2-135M", 134.5, 269, _GENERATE),
    ("Qwen/Qwen2.5-0.5B", 494.0, 988, _GENERATE),
    ("meta-llama/Llama-3.2-1B", 1235.8, 2472, _GENERATE),
]


def catalogue() -> list[CatalogueEntry]:
    """By name; nothing of Transformers is imported."""
    found = {
        name: _entry(name, tasks, round(millions * 1e6), megabytes * 10**6)
        for name, millions, megabytes, tasks in _KNOWN
    }
    for name, folder in repository.cached():
        try:
            config = repository.read_config(folder, name)
        except UserError:  # of another library, such as timm
            continue
        if "vocab_size" in config and name not in found:
            made = " ".join(map(str, config.get("architectures") or ()))
            found[name] = _entry(name, _GENERATE if _generates(made) else _CLASSIFY)
    return sorted(found.values(), key=lambda entry: entry.name)


def _generates(architectures: str) -> bool:
    return any(word in architectures for word in _GENERATORS)


def _entry(
    name: str, tasks: tuple[str, ...], parameters: int | None = None, size: int | None = None
) -> CatalogueEntry:
    return CatalogueEntry(
        name=f"hf/{name}",
        parameters=parameters,
        download_size=size,
        weights=["DEFAULT", *packaged_for(f"hf/{name}")],
        tasks=tasks,
        weights_file=f"models--{name.replace('/', '--')}",
    )
