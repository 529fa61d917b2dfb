"""L2-SP: weights are pulled to where they started instead of to zero.

Li, Grandvalet and Davoine 2018, arXiv:1802.01483. The penalty is strength / 2 * |w - w_start|^2
over the pretrained parameters, biases and norms included; the new head, which has no starting
point, keeps the weight decay. As a part of the loss it goes through the optimizer's moments and
is clipped with the rest; the loss that is told leaves it out.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from engine.adapters import own_parameters
from engine.layout import laid_like

Anchors = list[tuple[nn.Parameter, Tensor]]
"""Parameters that train, and where they started, on their device."""


def anchors(module: nn.Module, start: Mapping[str, Tensor]) -> Anchors:
    """Those of `module` that are in `start`, by name; adapters start from nothing and are not."""
    return [
        (parameter, laid_like(start[name].to(parameter.device), parameter))
        for name, parameter in own_parameters(module)
        if parameter.requires_grad and name in start
    ]


@torch.no_grad()
def pull(anchors: Iterable[tuple[nn.Parameter, Tensor]], strength: float) -> None:
    """Add the gradient of the penalty, strength * (w - w_start), where there is a gradient."""
    pulled = [(p.grad, p, start) for p, start in anchors if p.grad is not None]
    if pulled:
        gradients, weights, starts = (list(column) for column in zip(*pulled, strict=True))
        torch._foreach_add_(gradients, torch._foreach_sub(weights, starts), alpha=strength)
