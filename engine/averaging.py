"""A moving average of the weights, which is evaluated beside them.

Polyak and Juditsky 1992; the exponential form is that of `torch.optim.swa_utils`
(`get_ema_multi_avg_fn`), and its warm-up that of TensorFlow's `tf.train.ExponentialMovingAverage`
where it is given `num_updates`.
"""

from collections.abc import Iterable
from typing import TypedDict

import torch
from torch import Tensor, nn

from engine.adapters import own_modules
from engine.layout import laid_like


class Saved(TypedDict):
    """A moving average as a checkpoint has it."""

    updates: int
    shadows: dict[str, Tensor]
    """By the names of their parameters."""


class MovingAverage:
    """Shadows of all parameters that have ever trained: shadow = d * shadow + (1 - d) * weight.

    d is the smaller of `decay` and (1 + t) / (10 + t) after t updates, so that the weights of the
    beginning don't last. A parameter's shadow begins at its value when it is first to train, and
    goes on while it is frozen; one that never trained has none, as it would be the same. Buffers
    are the module's own, as in `AveragedModel` with `use_buffers=False`.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._updates = 0
        self._shadows: dict[nn.Parameter, Tensor] = {}

    def follow(self, module: nn.Module, begun_anew: Iterable[str] = ()) -> None:
        """Begin the shadows that are missing; those of modules at `begun_anew` begin again.

        To be called when other parameters train than before. An adapter that was merged has moved
        its layer's weight at one stroke: that begins again, too.
        """
        kept, modules = self._shadows, dict(own_modules(module))
        for path in begun_anew:
            for parameter in modules[path].parameters(recurse=False):
                kept.pop(parameter, None)
        self._shadows = {
            parameter: kept[parameter] if parameter in kept else parameter.detach().clone()
            for parameter in module.parameters()
            if parameter in kept or parameter.requires_grad
        }

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after an optimizer step."""
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        torch._foreach_lerp_(list(self._shadows.values()), list(self._shadows), 1 - decay)
        self._updates += 1

    def by_name(self, module: nn.Module) -> dict[str, Tensor]:
        """The shadows, not copied, by the names of their parameters."""
        named = module.named_parameters()
        return {name: self._shadows[p] for name, p in named if p in self._shadows}

    def state(self, module: nn.Module) -> Saved:
        """All there is to save, not copied."""
        return {"updates": self._updates, "shadows": self.by_name(module)}

    def load(self, module: nn.Module, saved: Saved | None) -> None:
        """Be as `state` was, or where nothing was saved as new; `follow` comes next."""
        saved = saved or {"updates": 0, "shadows": {}}
        self._updates = saved["updates"]
        self._shadows = {
            parameter: saved["shadows"][name].to(parameter.device)
            for name, parameter in module.named_parameters()
            if name in saved["shadows"]
        }

    def lay_out(self) -> None:
        """Have the shadows lie as their parameters, which may have moved."""
        self._shadows = {p: laid_like(shadow, p) for p, shadow in self._shadows.items()}
