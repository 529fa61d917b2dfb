"""The next token at every place of a block: what is minimised, measured and generated."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.text import plain
from engine.data.batch import Inputs
from engine.data.transforms import mix
from engine.device import Device
from engine.tasks.measured import Measured, Outcome, Verdict, finite
from engine.tasks.task import Figures, Said

_GENERATING = 2
"""Sets the seeds of generated texts apart from others."""
_TOP_K = 50
_LONGEST_SHOWN = 8000


class NextToken:
    """Cross-entropy over logits (B, L, vocabulary), of the tokens that follow, (B, L), int64.

    Every block has L targets, so that a mean over them all counts blocks alike.
    """

    score = "perplexity"

    def __init__(self, config: Config, tokenizer: Any, prompt: Sequence[int], length: int) -> None:
        """`prompt` are the tokens that generated texts go on from; `length` is L.

        Raises `UserError` where settings are for classes or pictures.
        """
        _check(config)
        self._smoothing = config.training.label_smoothing
        self._tokens, self._seed = config.text.sample_tokens, config.training.seed
        self._tokenizer, self._prompt, self._length = tokenizer, list(prompt), length

    def outputs(self, module: nn.Module, inputs: Inputs) -> Tensor:
        """Logits (B, L, vocabulary)."""
        assert isinstance(inputs, dict)
        logits: Tensor = module(**inputs, use_cache=False).logits
        return logits

    def mix(self, inputs: Inputs, targets: Tensor, seed: int) -> tuple[Inputs, Tensor]:
        """As they are."""
        return inputs, targets

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean over all tokens, label smoothing included; a scalar in float32."""
        flat = logits.flatten(0, 1).float()  # a view, and a copy only in half precision
        return F.cross_entropy(flat, targets.flatten(), label_smoothing=self._smoothing)

    def measure(self, logits: Tensor, targets: Tensor) -> Measured:
        """Rows (B, 2): of each block the cross-entropy, and the share of first guesses that are
        right; sums (2,): of these over blocks.

        Block by block, as what is computed of the logits is as large as they are.
        """
        each = []
        for block, wanted in zip(logits, targets, strict=True):
            loss = F.cross_entropy(block.float(), wanted)
            hits = (block.argmax(1) == wanted).float().mean()
            each.append(torch.stack([loss, hits]))
        rows = torch.stack(each)
        return Measured(rows.sum(0), rows)

    def figures(self, sums: Sequence[float], rows: Tensor) -> Figures:
        """What the sums of all batches come to."""
        loss, hits = (total / len(rows) for total in sums)
        found = {"perplexity": perplexity} if (perplexity := exponential(loss)) else {}
        return Figures(finite(loss), found | {"token_accuracy": hits}, len(rows))

    def outcome(self, sums: Sequence[float], rows: Tensor) -> Outcome:
        return Outcome([], [])

    def verdicts(self, rows: Tensor) -> Iterator[Verdict]:
        for loss, _ in rows.tolist():
            yield Verdict(score=exponential(loss))

    def generate(self, module: nn.Module, device: Device, step: int) -> Said | None:
        """Tokens drawn from the 50 likeliest (Fan et al. 2018, arXiv:1805.04833), up to the end of
        a text; a function of the weights, the seed and the step."""
        if not (self._tokens and self._prompt):
            return None
        generator = torch.Generator().manual_seed(mix(self._seed, step, _GENERATING))
        ids = list(self._prompt)
        for _ in range(self._tokens):
            window = device.send(torch.tensor([ids[-self._length :]]))
            # without keys and values kept: any causal model will do, and these texts are short
            logits = module(input_ids=window, use_cache=False).logits[0, -1].float().cpu()
            if not bool(torch.isfinite(logits).all()):
                break
            likely, which = logits.topk(min(_TOP_K, len(logits)))
            drawn = int(which[torch.multinomial(likely.softmax(0), 1, generator=generator)])
            if drawn == self._tokenizer.eos_token_id:
                break
            ids.append(drawn)
        return Said(self._shown(self._prompt), self._shown(ids[len(self._prompt) :]))

    def _shown(self, ids: Sequence[int]) -> str:
        text = self._tokenizer.decode(ids, skip_special_tokens=True)
        return "\n".join(plain(line, _LONGEST_SHOWN) for line in text.splitlines())


def exponential(loss: float) -> float | None:
    """Perplexity of a mean cross-entropy; None where it is no finite number."""
    try:
        value = math.exp(loss)
    except OverflowError:
        return None
    return finite(value)


def _check(config: Config) -> None:
    asked = config.regularisation
    for on, key, why in (
        (asked.mixup > 0, "mixup", "blends pictures"),
        (asked.cutmix > 0, "cutmix", "cuts pictures"),
        (asked.class_weights != "none", "class_weights", "balances classes"),
        (asked.sampling != "natural", "sampling", "balances classes"),
    ):
        if on:
            raise UserError(
                f"regularisation.{key}: {why}, and causal language modelling has none; leave it "
                "out."
            )
