"""A linear head over what an encoder says of each token: their mean, or the first one.

Checkpoints of sentence-transformers are trained to be read so (Reimers and Gurevych 2019,
arXiv:1908.10084), and say it in a file beside their weights. The heads that Transformers has for
BERT and others read the first token, most of them through a layer that no such training touched.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

STATED = "*_Pooling/config.json"
"""Where in a folder such a checkpoint says how it is read."""
_MODES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
_DROPOUT = ("classifier_dropout", "seq_classif_dropout", "hidden_dropout_prob")
"""What a config calls the dropout of a head, the first that is set."""


def stated(folder: Path) -> str:
    """`mean` or `cls`, where the checkpoint in `folder` says so; else `model`, its own head."""
    for path in sorted(folder.glob(STATED)):
        try:
            said = json.loads(path.read_bytes())
            modes = [
                key for key, on in said.items() if key.startswith("pooling_mode_") and on is True
            ]
        except (OSError, ValueError, AttributeError):
            continue
        if len(modes) == 1 and modes[0] in _MODES:
            return _MODES[modes[0]]
    return "model"


def pooled_class(base: Any, pooling: str) -> Any:
    """A class of Transformers that classifies by `base`, such as BertModel, and a linear head.

    pooling: `mean` of the tokens that are no padding, or `cls`, the first one. The layer that
    `base` may have for its first token is left out. Tensors are named as in the library's own
    model for sequence classification: `bert.` and what follows it, `classifier.weight` and `.bias`.
    """
    from transformers import PreTrainedModel
    from transformers.modeling_outputs import SequenceClassifierOutput

    parent: Any = next(kind for kind in base.__bases__ if issubclass(kind, PreTrainedModel))

    class Pooled(parent):  # type: ignore[misc]
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            encoder = base(config)
            if hasattr(encoder, "pooler"):
                encoder.pooler = None
            setattr(self, self.base_model_prefix, encoder)
            rates = (getattr(config, name, None) for name in _DROPOUT)
            self.dropout = nn.Dropout(next((rate for rate in rates if rate is not None), 0.0))
            self.classifier = nn.Linear(config.hidden_size, config.num_labels)
            self.post_init()

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
            said = self.base_model(input_ids=input_ids, attention_mask=attention_mask)
            pooled = pool(said.last_hidden_state, attention_mask, pooling)
            return SequenceClassifierOutput(logits=self.classifier(self.dropout(pooled)))

    Pooled.__name__ = Pooled.__qualname__ = f"{base.__name__}{pooling.title()}Pooled"
    return Pooled


def pool(hidden: Tensor, attention_mask: Tensor, pooling: str) -> Tensor:
    """(B, tokens, width), and (B, tokens), which is 0 at the padding on the right: (B, width)."""
    if pooling == "cls":
        return hidden[:, 0]
    counts = attention_mask[..., None].to(torch.float32)
    return (hidden * counts).sum(1) / counts.sum(1)
