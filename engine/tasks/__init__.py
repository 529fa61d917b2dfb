"""What a model can learn to do: a registry by the name that `task` takes in a config."""

from typing import Any

from engine.tasks.causal_lm import CausalLM
from engine.tasks.image_classification import ImageClassification
from engine.tasks.multi_label import MultiLabelClassification
from engine.tasks.semantic_segmentation import SemanticSegmentation
from engine.tasks.task import Task
from engine.tasks.text_classification import TextClassification

TASKS: dict[str, Task[Any]] = {
    "image-classification": ImageClassification(),
    "multi-label-classification": MultiLabelClassification(),
    "causal-lm": CausalLM(),
    "text-classification": TextClassification(),
    "semantic-segmentation": SemanticSegmentation(),
}
