"""What a model can learn to do: a registry by the name that `task` takes in a config."""

from typing import Any

from engine.tasks.image_classification import ImageClassification
from engine.tasks.multi_label import MultiLabelClassification
from engine.tasks.task import Feeding, Figures, Index, Objective, Task, TrainData, ValData

__all__ = ["TASKS", "Feeding", "Figures", "Index", "Objective", "Task", "TrainData", "ValData"]

TASKS: dict[str, Task[Any]] = {
    "image-classification": ImageClassification(),
    "multi-label-classification": MultiLabelClassification(),
}
