"""Low-rank adapters under a plan: which layers can have one, and what it trains. No torch.

LoRA (Hu et al. 2021, arXiv:2106.09685) keeps a layer's weight W and trains B A beside it, of rank
r: A is r by the inputs, B the outputs by r; a convolution's inputs are channels times kernel. DoRA
(Liu et al. 2024, arXiv:2402.09353) also trains the magnitude of each row of W + B A.
"""

from collections import Counter
from collections.abc import Collection, Iterable

from engine.contract.errors import UserError
from engine.contract.match import Matcher
from engine.contract.rules import Rule
from engine.contract.text import plain
from engine.contract.tree import ModelInfo, parameter_owners

NEEDS_PEFT = "trainable: adapters (lora, dora) need peft: pip install 'finetune-tui[peft]'"
_LAYERS = ("Linear", "Conv", "Attention")


def adaptable(model: ModelInfo) -> dict[str, tuple[int, int]]:
    """Name of each weight that can have an adapter, to its outputs and inputs."""
    return {f"{m.path}.weight": m.adaptable for m in model.modules if m.adaptable}


def size(shape: tuple[int, int], rank: int, dora: bool) -> int:
    """Parameters (elements) of an adapter on a weight of so many outputs and inputs."""
    outputs, inputs = shape
    return rank * (outputs + inputs) + (outputs if dora else 0)


def check(rule: Rule, taken: Collection[str], model: ModelInfo) -> None:
    """Raises `UserError` where what a rule says of adapters makes no sense.

    taken: names of the parameters that it matches.
    """
    what = f'trainable: "{plain(rule.match)}"'
    if rule.dora and not rule.lora:
        raise UserError(f"{what} has dora without a rank; add one, such as lora = 8.")
    if not rule.lora:
        return
    if not rule.train:
        raise UserError(f"{what} has lora and train = false; an adapter trains, so drop one.")
    if rule.reinit:
        raise UserError(f"{what} has lora and reinit; an adapter keeps the weights, so drop one.")
    if adaptable(model).keys().isdisjoint(taken):
        raise UserError(
            f"{what} matches no Linear or Conv2d layer of {plain(model.name)} that can have an "
            "adapter; grouped and dilated convolutions and MultiheadAttention's in_proj can't."
        )


def left_out(rules: Iterable[Rule], model: ModelInfo) -> str:
    """A sentence on layers that get no adapter from the rule with lora that decides them, or ""."""
    matcher, ranks = Matcher(model), dict[str, int]()
    for rule in rules:
        ranks |= dict.fromkeys(matcher.take(rule.match), rule.lora)
    fitting, owners = adaptable(model), parameter_owners(model)
    without = Counter[str]()
    for name in (name for name, rank in ranks.items() if rank and name not in fitting):
        owner = owners[name]
        if owner and name.endswith("weight") and any(kind in owner.type for kind in _LAYERS):
            without[plain(owner.type)] += 1
    if not without:
        return ""
    listed = " and ".join(f"{count} {kind}" for kind, count in without.items())
    return (
        f"No adapter fits {listed}, which stay frozen: peft's are not for grouped, dilated or "
        "standardised convolutions, and MultiheadAttention's in_proj is not a layer."
    )
