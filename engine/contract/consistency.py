"""What a config must not ask for at once, whatever the data and the model are."""

import operator

from engine.contract.config import Config
from engine.contract.errors import UserError
from engine.contract.fields import all_fields
from engine.contract.tasks import TASKS, metrics_of, unread_tables

FP16_NEEDS_GPU = "training.precision: fp16 needs a GPU; take fp32 or bf16 on a CPU."


def check(config: Config) -> None:
    """Raises `UserError` where settings contradict each other."""
    asked, metric = config.regularisation, config.early_stopping.metric
    if metric not in metrics_of(config.task):
        raise UserError(
            f"early_stopping.metric: {TASKS[config.task].title} does not measure {metric}; take "
            f"one of {', '.join(metrics_of(config.task))}."
        )
    if metric.startswith("ema_") and not asked.ema:
        raise UserError(
            f"early_stopping.metric: {metric} judges the moving average of the weights, which is "
            "off; set regularisation.ema, such as to 0.999, or take val_loss."
        )
    if config.training.precision == "fp16" and config.training.device == "cpu":
        raise UserError(FP16_NEEDS_GPU)
    if config.training.compile and config.training.recompute:
        raise UserError(
            "training.recompute: torch.compile decides by itself what it computes once more; turn "
            "one of training.recompute and training.compile off."
        )
    back = "l2_sp" if asked.l2_sp else "wise_ft" if asked.wise_ft else ""
    if back and config.model.weights == "none":
        raise UserError(
            f"regularisation.{back}: goes back to pretrained weights, and with model.weights at "
            '"none" there are none; turn it off, or name weights.'
        )


def unread(config: Config) -> str:
    """A sentence on what is set and the task does not read; empty where there is nothing."""
    tables = unread_tables(config.task)
    foreign = [field for field in all_fields() if field.table in tables]
    keys = [f.key for f in foreign if operator.attrgetter(f.key)(config) != f.default]
    title = TASKS[config.task].title
    return f"Set, but not read by {title}: {', '.join(keys)}." if keys else ""
