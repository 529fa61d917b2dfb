"""What a model can learn to do: a registry by the name that `task` takes in a config."""

from collections.abc import Callable

from engine.contract.config import Config
from engine.tasks.image_classification import ImageClassification
from engine.tasks.task import Figures, Task

__all__ = ["TASKS", "Figures", "Task", "build"]

TASKS: dict[str, Callable[[Config], Task]] = {"image-classification": ImageClassification}


def build(config: Config) -> Task:
    """The task that a config asks for."""
    return TASKS[config.task](config)
