"""The learning rate over time, as a pure function."""

import math

from engine.contract.training_tables import ScheduleConfig


def factor(index: int, total_steps: int, config: ScheduleConfig, ahead: int = 0) -> float:
    """What the base rate is multiplied by for the step after `index` finished ones.

    Warm-up rises linearly, its last step at 1. The cosine (Loshchilov and Hutter 2017, without
    restarts) starts there and would reach `end_factor` at step `total_steps`, one after the last.
    It counts `ahead` more steps as finished than warm-up does; where that is before the cosine's
    start, it waits there.
    """
    if index < config.warmup_steps:
        return (index + 1) / config.warmup_steps
    if config.name == "constant":
        return 1.0
    span = max(1, total_steps - config.warmup_steps)
    done = min(1.0, max(0, index + ahead - config.warmup_steps) / span)
    return config.end_factor + (1 - config.end_factor) * (1 + math.cos(math.pi * done)) / 2
