"""What a model can learn to do: a registry by the name that `task` takes in a config."""

from collections.abc import Callable, Sequence

from engine.contract.config import Config
from engine.tasks.image_classification import ImageClassification
from engine.tasks.task import Figures, Task

__all__ = ["TASKS", "Figures", "Task", "build"]

TASKS: dict[str, Callable[[Config, Sequence[int]], Task]] = {
    "image-classification": ImageClassification
}


def build(config: Config, counts: Sequence[int]) -> Task:
    """The task that a config asks for, with so many training pictures of each class.

    Raises `UserError` where settings contradict each other.
    """
    return TASKS[config.task](config, counts)
