"""Named methods of fine-tuning: each reads a model's tree and writes the rules of a plan, and of
the stages that join it later.

They write patterns rather than lists of parameters where they can, so that the plan stays text
that a person reads, edits and takes to another model.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import NamedTuple

from msgspec.structs import replace

from engine.contract.depth import ancestors, repeated_blocks
from engine.contract.errors import UserError
from engine.contract.plan import FREEZE_ALL, TRAIN_ALL, head_only, literal
from engine.contract.rules import Rule, Stage
from engine.contract.text import plain
from engine.contract.tree import ModelInfo, ModuleInfo

LAYER_DECAY = 0.75
"""Between the 0.65 of BEiT's large and the 0.9 of its small models."""
ULMFIT_DIVISOR = 2.6
ADAPTER_RANK = 8
LP_FT_SCALE = 0.1
"""Of the fine-tuning that follows a linear probe, which should only adjust what is there."""


def last_blocks(model: ModelInfo, count: int) -> list[Rule]:
    """The head, the last `count` blocks, and the layers after them, such as a final norm.

    Raises `UserError` on a model of fewer blocks.
    """
    if count > len(repeated_blocks(model)):
        raise UserError(f"{plain(model.name)} has fewer than {count} blocks before its head.")
    return [FREEZE_ALL, Rule(f"last:{count}")]


def full(_model: ModelInfo) -> list[Rule]:
    """Every parameter, at one rate."""
    return [TRAIN_ALL]


def bitfit(model: ModelInfo) -> list[Rule]:
    """The head and all biases: BitFit, Ben Zaken et al. 2021, arXiv:2106.10199.

    Biases are the parameters of that name and those whose name ends in it, such as the
    `in_proj_bias` of attention; those of norms are among them, as in the paper. Raises `UserError`
    on a model without any outside its head.
    """
    biases = _bias_rules(model)
    if not biases:
        raise UserError(f"{plain(model.name)} has no biases outside its head.")
    return [*head_only(model), *biases]


def norm_only(model: ModelInfo) -> list[Rule]:
    """The head and the scales and shifts of all norms: Frankle et al. 2020, arXiv:2003.00152.

    Raises `UserError` on a model that has none.
    """
    norms = _norm_rules(model)
    if not norms:
        raise UserError(f"{plain(model.name)} has no normalisation layers with weights.")
    return [*head_only(model), *norms]


def norms_and_biases(model: ModelInfo) -> list[Rule]:
    """The head, all norms and all biases, as far as the model has them; VGG has no norms."""
    return [*head_only(model), *_norm_rules(model), *_bias_rules(model)]


def attention_only(model: ModelInfo) -> list[Rule]:
    """The head and the attention layers: Touvron et al. 2022, arXiv:2203.09795, section 4.

    Attention layers are the innermost modules whose type says so, with all that they hold: the
    projections, and Swin's tables of relative positions; and the output projection of the BERT
    family, which stands beside it (BertSelfOutput). Raises `UserError` on a model without.
    """
    named = [m for m in model.modules if "Attention" in m.type]
    around = {above for module in named for above in ancestors(module.path)}
    holding = {above for m in model.modules if m.own for above in (m.path, *ancestors(m.path))}
    layers = [m for m in named if m.path not in around and m.path in holding]
    if not layers:
        raise UserError(
            f"{plain(model.name)} has no attention layers; this method is for transformers."
        )
    beside = [m for m in model.modules if m.type.endswith("SelfOutput")]
    return [*head_only(model), *_of_types(m.type for m in [*layers, *beside])]


def low_rank(model: ModelInfo, dora: bool = False) -> list[Rule]:
    """The head, and low-rank adapters of rank 8 on all layers before it that can have one.

    Hu et al. 2021 (LoRA, arXiv:2106.09685), section 4; Liu et al. 2024 (DoRA, arXiv:2402.09353),
    section 4. Layers are of the types Linear and Conv2d; grouped and dilated convolutions and the
    queries, keys and values of torch's MultiheadAttention have none (`ModuleInfo.adaptable`).
    Raises `UserError` on a model without any such layer.
    """
    types = [m.type for m in _body(model) if m.adaptable]
    if not types:
        raise UserError(f"{plain(model.name)} has no layer for an adapter outside its head.")
    everything_frozen, *heads = head_only(model)
    adapted = [replace(rule, lora=ADAPTER_RANK, dora=dora) for rule in _of_types(types)]
    return [everything_frozen, *adapted, *heads]


def layer_decay(model: ModelInfo, factor: float = LAYER_DECAY) -> list[Rule]:
    """Everything, the rate multiplied by `factor` once for each block away from the head.

    The head learns at the full rate, block k from the output at `factor`^k, and what comes before
    the first of n blocks at `factor`^(n + 1). Clark et al. 2020 (ELECTRA, arXiv:2003.10555); for
    vision transformers Bao et al. 2021 (BEiT, arXiv:2106.08254), whose code counts alike but for
    the final norm, which it counts to the head and this to the last block.
    """
    return _falling(model, range(1, len(repeated_blocks(model)) + 1), factor)


def discriminative(model: ModelInfo, divisor: float = ULMFIT_DIVISOR) -> list[Rule]:
    """Everything, the rate divided by `divisor` for each group of layers away from the head.

    Howard and Ruder 2018 (ULMFiT, arXiv:1801.06146), section 3.2. A group is a stage: blocks that
    stand side by side, as in resnet's `layer3`; what comes before the first one is the last group.
    """
    return _falling(model, _groups(model), 1 / divisor)


def auto_rgn(model: ModelInfo, norms: Mapping[str, float]) -> list[Rule]:
    """Everything, the rate of each part in proportion to its relative gradient norm.

    Auto-RGN, Lee et al. 2022, arXiv:2210.11466, section 5: the largest norm has the full rate. So
    has the head, which is left out of the comparison: it is new, and its gradient dwarfs the rest.
    norms: path of a part, as `depth.parts` has them, to |gradient| / |weight|, finite; parts that
    are left out have the full rate.
    """
    body = {path: norm for path, norm in norms.items() if path not in model.head}
    largest = max(body.values(), default=0.0) or 1.0
    scaled = [Rule(literal(path), lr_scale=_legible(n / largest)) for path, n in body.items()]
    return [TRAIN_ALL, *scaled, *(Rule(literal(path)) for path in model.head)]


def probe_then_all(model: ModelInfo, epochs: int) -> list[Stage]:
    """After half of the epochs everything but BatchNorm, at a tenth of the rate.

    LP-FT, Kumar et al. 2022, arXiv:2202.10054: a new head's first gradients distort pretrained
    features, so the head is trained before the rest.
    """
    half = max(1, epochs // 2)
    return [Stage(_epochs(half), [Rule("*", lr_scale=LP_FT_SCALE), *_batch_norms_kept(model)])]


def gradual_unfreezing(model: ModelInfo, epochs: int) -> list[Stage]:
    """Each epoch the next group of layers from the head but BatchNorm, at discriminative rates.

    Howard and Ruder 2018 (ULMFiT, arXiv:1801.06146), section 3.3; groups and rates as in
    `discriminative`. Of a run with fewer epochs than groups, the last stage takes what is left.
    """
    depths = _groups(model)
    steps = [
        _last_falling(model, depths[:n], 1 / ULMFIT_DIVISOR) for n in range(1, len(depths) + 1)
    ]
    steps = [*steps[: max(0, epochs - 2)], discriminative(model)]
    kept = _batch_norms_kept(model)
    return [Stage(_epochs(1), [*rules, *kept]) for rules in steps]


def _no_stages(_model: ModelInfo, _epochs: int) -> list[Stage]:
    return []


class Method(NamedTuple):
    """A way to choose what trains."""

    label: str
    """A few words for a menu."""
    help: str
    """One line, with the paper."""
    rules: Callable[[ModelInfo], list[Rule]]
    """Raises `UserError`, in one sentence, on a model that the method is not for."""
    stages: Callable[[ModelInfo, int], list[Stage]] = _no_stages
    """What is to join the plan later, in a run of so many epochs."""

    @property
    def paper(self) -> str:
        """Its number at arXiv; empty where it has none."""
        found = re.search(r"arXiv:([\d.]+)", self.help)
        return found[1] if found else ""


METHODS: dict[str, Method] = {
    "linear-probe": Method(
        "linear probe", "Linear probe: nothing but the head (arXiv:1610.01644)", head_only
    ),
    "last-1": Method(
        "last block",
        "Surgical fine-tuning of the head and the last block (arXiv:2210.11466)",
        partial(last_blocks, count=1),
    ),
    "last-2": Method(
        "last 2 blocks",
        "Surgical fine-tuning of the head and the last two blocks (arXiv:2210.11466)",
        partial(last_blocks, count=2),
    ),
    "lp-ft": Method(
        "LP-FT",
        "LP-FT: the head for half of the epochs, then all but BatchNorm at a tenth of the rate, "
        "the choice for little data (arXiv:2202.10054)",
        head_only,
        probe_then_all,
    ),
    "gradual": Method(
        "ULMFiT unfreezing",
        "Gradual unfreezing: the head, and each epoch the next group but BatchNorm, at "
        "discriminative rates (ULMFiT, arXiv:1801.06146)",
        head_only,
        gradual_unfreezing,
    ),
    "full": Method("full fine-tuning", "Full fine-tuning: every parameter at one rate", full),
    "layer-decay": Method(
        "layer-wise decay",
        f"Everything, the rate times {LAYER_DECAY:g} a block from the head (arXiv:2106.08254)",
        layer_decay,
    ),
    "discriminative": Method(
        "ULMFiT rates",
        f"Discriminative rates: everything, divided by {ULMFIT_DIVISOR:g} a stage from the head "
        "(ULMFiT, arXiv:1801.06146)",
        discriminative,
    ),
    "norms-and-biases": Method(
        "norms and biases", "The head, all norms and all biases", norms_and_biases
    ),
    "norm-only": Method("norms", "The head and all norms (arXiv:2003.00152)", norm_only),
    "bitfit": Method("BitFit", "BitFit: the head and all biases (arXiv:2106.10199)", bitfit),
    "attention-only": Method(
        "attention",
        "The head and the attention layers of a transformer (arXiv:2203.09795)",
        attention_only,
    ),
    "lora": Method(
        "LoRA",
        f"The head, and LoRA adapters of rank {ADAPTER_RANK} on all layers (arXiv:2106.09685)",
        low_rank,
    ),
    "dora": Method(
        "DoRA",
        f"The head, and DoRA adapters of rank {ADAPTER_RANK} on all layers (arXiv:2402.09353)",
        partial(low_rank, dora=True),
    ),
}
"""By the name that never changes; in the order of a menu."""


def _falling(model: ModelInfo, depths: Sequence[int], factor: float) -> list[Rule]:
    """Everything trains; the rate falls by `factor` at each of `depths`, in blocks, ascending."""
    rest = Rule("*", lr_scale=_legible(factor ** (len(depths) + 1)))
    return [rest, *_last_falling(model, depths, factor)]


def _last_falling(model: ModelInfo, depths: Sequence[int], factor: float) -> list[Rule]:
    """The head at the full rate, and the last blocks; it falls by `factor` at each of `depths`."""
    scaled = [
        Rule(f"last:{depth}", lr_scale=_legible(factor**power))
        for power, depth in enumerate(depths, start=1)
    ]
    return [*reversed(scaled), *(Rule(literal(path)) for path in model.head)]


def _groups(model: ModelInfo) -> list[int]:
    """Depths, in blocks from the output, at which the groups of layers begin: stages, such as
    resnet's `layer3`, whose blocks stand side by side."""
    groups = groupby(repeated_blocks(model), key=lambda path: path.rpartition(".")[0])
    sizes = [len(list(blocks)) for _, blocks in groups]
    return [sum(sizes[i:]) for i in reversed(range(len(sizes)))]


def _epochs(count: int) -> str:
    return f"{count} epoch" if count == 1 else f"{count} epochs"


def _legible(scale: float) -> float:
    """Six digits are enough for a rate, and can be read in a file."""
    return float(f"{scale:.6g}")


def _bias_rules(model: ModelInfo) -> list[Rule]:
    """One for each name of a bias outside the head: `*.bias`, `*.in_proj_bias`."""
    names = dict.fromkeys(name for module in _body(model) for name in module.own)
    return [Rule(f"*.{name}") for name in names if name == "bias" or name.endswith("_bias")]


def _body(model: ModelInfo) -> list[ModuleInfo]:
    heads = set(model.head)
    return [m for m in model.modules if heads.isdisjoint((m.path, *ancestors(m.path)))]


def _norm_rules(model: ModelInfo) -> list[Rule]:
    """One for each type of norm; a type such as Conv2dNormActivation holds more than a norm."""
    return _of_types(m.type for m in model.modules if m.own and "Norm" in m.type)


def _batch_norms_kept(model: ModelInfo) -> list[Rule]:
    """BatchNorm stays as it was while the head was trained on what it gives.

    Thawed, it would normalise by each batch's own statistics: all features change at once, and the
    head no longer fits them. `tests.benchmarks.methods_on_demo` measures what that costs.
    """
    found = _of_types(m.type for m in model.modules if m.own and "BatchNorm" in m.type)
    return [replace(rule, train=False) for rule in found]


def _of_types(types: Iterable[str]) -> list[Rule]:
    return [Rule(f"type:{literal(name)}") for name in dict.fromkeys(types)]
