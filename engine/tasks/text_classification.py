"""Texts to one of several classes, by a model of Transformers."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.events import PreparationAdvanced, TextsTokenised, Warned
from engine.contract.text import plain
from engine.data import TrainLoader, ValLoader
from engine.data.batch import Inputs
from engine.data.preview import Preview, TextPart
from engine.data.texts import LabelledText, TextIndex, index_texts
from engine.data.tokens import TokenisedTexts, Tokens, tokenise
from engine.data.workers import Feeding
from engine.models.source import LoadedModel, Tell
from engine.tasks import seen
from engine.tasks.classifying import Classifying
from engine.tasks.measured import finite
from engine.tasks.task import Blank, Figures

_LONGEST = 512
"""Tokens that `max_length = "auto"` allows at most: memory grows with the square of it."""


class TextClassification:
    """A table or a folder of texts, an encoder with a head that gives logits."""

    def index(self, config: Config, tell: Tell) -> TextIndex:
        return index_texts(config, tell)

    def data(
        self, config: Config, index: TextIndex, model: LoadedModel, feeding: Feeding
    ) -> tuple[TrainLoader, ValLoader]:
        if model.tokenizer is None:
            raise UserError(
                f"model.name: {plain(model.info.name)} takes no texts; take a model of "
                "Transformers, such as hf/distilbert/distilbert-base-uncased."
            )
        longest = _max_length(config, model.info.positions)

        def tokens(samples: Sequence[LabelledText]) -> Tokens:
            return tokenise(
                model.tokenizer,
                [sample.text for sample in samples],
                longest,
                lambda words: feeding.tell(PreparationAdvanced(stage=words)),
            )

        train, val = tokens(index.train), tokens(index.val)
        _check_vocabulary(model, train, val)
        for remark in (*index.remarks, *_truncation(longest, train, val)):
            feeding.tell(Warned(message=remark))
        feeding.tell(TextsTokenised(longest=min(longest, int(train.lengths.max()))))
        padding = model.tokenizer.pad_token_id
        samples = (
            TokenisedTexts(tokens, [sample.label for sample in of], padding)
            for tokens, of in ((train, index.train), (val, index.val))
        )
        asked, seed = config.data, config.training.seed
        return (
            TrainLoader(next(samples), asked, seed, feeding, config.regularisation.sampling),
            ValLoader(next(samples), asked, feeding),
        )

    def preview(self, config: Config, tell: Tell) -> Preview:
        index = self.index(config, tell)

        def part(samples: Sequence[LabelledText]) -> TextPart:
            name = seen.below(config)
            return TextPart(
                [sample.text for sample in samples],
                [(sample.label,) for sample in samples],
                lambda number: name(samples[number].where),
                seen.reader(config, lambda positions: _max_length(config, positions)),
            )

        return Preview(
            index.told(),
            part(index.train),
            part(index.val),
            index.skipped,
            index.held_out,
            index.remarks,
        )

    def objective(self, config: Config, index: TextIndex) -> "ClassifyingTexts":
        return ClassifyingTexts(config, index.counts(index.train))

    def blank(self, config: Config, model: LoadedModel, classes: int) -> Blank:
        length = _max_length(config, model.info.positions)

        def batch(size: int) -> tuple[dict[str, Tensor], Tensor]:
            ids = torch.zeros(size, length, dtype=torch.int64)
            named = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            return named, torch.zeros(size, dtype=torch.int64)

        return Blank(ClassifyingTexts(config, [1] * classes), batch, length)


class ClassifyingTexts(Classifying):
    """Of inputs by name; measured by accuracy and macro F1."""

    def __init__(self, config: Config, counts: Sequence[int]) -> None:
        super().__init__(config, counts)
        asked = config.regularisation
        if asked.mixup or asked.cutmix:
            which = "mixup" if asked.mixup else "cutmix"
            raise UserError(f"regularisation.{which}: texts can't be mixed; set it to 0.")

    def outputs(self, module: nn.Module, inputs: Inputs) -> Tensor:
        assert isinstance(inputs, dict)
        logits: Tensor = module(**inputs).logits
        return logits

    def figures(self, sums: Sequence[float], rows: Tensor) -> Figures:
        """Macro F1 is the mean over the classes that were said or are labels, as scikit-learn's."""
        right, said, labels = np.array(self.outcome(sums, rows).counts).T
        either = said + labels
        f1 = 2 * right[either > 0] / either[either > 0]
        found = {"accuracy": sums[1] / len(rows), "macro_f1": float(f1.mean())}
        return Figures(finite(sums[0] / len(rows)), found, len(rows))


def _max_length(config: Config, positions: int | None) -> int:
    """In tokens; raises `UserError` where the model has fewer positions."""
    asked = config.text.max_length
    if asked == "auto":
        return min(_LONGEST, positions or _LONGEST)
    if positions is not None and asked > positions:
        raise UserError(
            f"text.max_length: {plain(config.model.name)} takes {positions} tokens at most, not "
            f'{asked}; set that, or "auto".'
        )
    return asked


def _check_vocabulary(model: LoadedModel, *parts: Tokens) -> None:
    known = model.module.get_input_embeddings().num_embeddings  # type: ignore[operator]
    highest = max(model.tokenizer.pad_token_id, *(int(part.ids.max()) for part in parts))
    if highest >= known:
        raise UserError(
            f"model.name: the tokenizer of {plain(model.info.name)} is another model's: it has "
            f"tokens up to {highest}, and the model knows {known}."
        )


def _truncation(longest: int, *parts: Tokens) -> list[str]:
    """A sentence on the texts that are cut, or none."""
    lengths = np.concatenate([part.lengths for part in parts])
    cut = int((lengths > longest).sum())
    if not cut:
        return []
    middle, most = (int(q) for q in np.percentile(lengths, [50, 95]))
    return [
        f"{cut:,} of {len(lengths):,} texts are cut to {longest} tokens "
        f"({cut / len(lengths):.1%}); the median is {middle:,}, 95% have up to {most:,}, the "
        f"longest has {lengths.max():,} (text.max_length)."
    ]
