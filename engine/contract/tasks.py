"""What there is to learn, and what each task measures and calls things: plain data, no torch."""

from typing import NamedTuple


class Figure(NamedTuple):
    """What an evaluation says beside the loss."""

    label: str
    """In two words or fewer, for a status line."""
    help: str
    falls: bool = False
    """Whether lower is better."""
    share: bool = True
    """Whether it lies between 0 and 1, and is shown in percent."""


class TaskWords(NamedTuple):
    """How a task speaks of itself; `engine.tasks` has what it does."""

    title: str
    sample: str
    """What a batch is counted in; its plural takes an s."""
    unit: str
    """Of the throughput, short."""
    figures: dict[str, Figure]
    """By the key that they have in `Evaluated.figures` and in `early_stopping.metric`; the first is
    the one that a line shows where it has room for one."""
    tables: tuple[str, ...]
    """Of a config, those that not every task reads and this one does."""

    @property
    def main(self) -> str:
        """Key of the first figure."""
        return next(iter(self.figures))

    @property
    def of_texts(self) -> bool:
        """Whether samples are texts, else pictures."""
        return "text" in self.tables


TASKS = {
    "image-classification": TaskWords(
        "image classification",
        "picture",
        "img/s",
        {
            "top1": Figure("top-1", "Share of pictures whose first guess is right."),
            "top5": Figure(
                "top-5", "Share with the label among five guesses; of six classes or more."
            ),
        },
        tables=("images",),
    ),
    "multi-label-classification": TaskWords(
        "multi-label classification",
        "picture",
        "img/s",
        {
            "map": Figure("mAP", "Mean over the classes of the average precision."),
            "macro_f1": Figure("macro F1", "F1 of each class, averaged over the classes."),
            "exact": Figure("exact", "Share of pictures all of whose labels are right."),
        },
        tables=("images",),
    ),
    "causal-lm": TaskWords(
        "causal language modelling",
        "block",
        "blocks/s",
        {
            "perplexity": Figure(
                "perplexity",
                "Exponential of the loss: among how many tokens the model wavers.",
                falls=True,
                share=False,
            ),
            "token_accuracy": Figure("next token", "Share of tokens that are the first guess."),
        },
        tables=("text",),
    ),
    "text-classification": TaskWords(
        "text classification",
        "text",
        "texts/s",
        {
            "accuracy": Figure("accuracy", "Share of texts whose first guess is right."),
            "macro_f1": Figure("macro F1", "F1 of each class, averaged over the classes."),
        },
        tables=("text",),
    ),
    "semantic-segmentation": TaskWords(
        "semantic segmentation",
        "picture",
        "img/s",
        {
            "miou": Figure(
                "mean IoU",
                "Intersection over union of what is found and what there is, mean of the classes.",
            ),
            "miou_foreground": Figure(
                "fg IoU", "The same without the first class, the background."
            ),
            "dice": Figure("Dice", "Overlap as F1 of the pixels, mean of the classes."),
            "pixel_accuracy": Figure("pixels", "Share of pixels that are given their class."),
        },
        tables=("segmentation",),
    ),
}
"""By the name that `task` takes in a config."""

METRICS = [
    f"{weights}_{figure}"
    for weights in ("val", "ema")
    for figure in dict.fromkeys(["loss", *(key for task in TASKS.values() for key in task.figures)])
]
"""All that `early_stopping.metric` takes, of whatever task."""


def falls(metric: str) -> bool:
    """Whether lower is better; a figure means the same in all tasks that have it."""
    figure = metric.partition("_")[2]
    known = (task.figures.get(figure) for task in TASKS.values())
    return figure == "loss" or any(found.falls for found in known if found)


def metrics_of(task: str) -> list[str]:
    """Those that can be asked for of a task."""
    known = {"loss", *TASKS[task].figures}
    return [metric for metric in METRICS if metric.partition("_")[2] in known]


def unread_tables(task: str) -> set[str]:
    """Tables of a config that only other tasks read."""
    every = {table for words in TASKS.values() for table in words.tables}
    return every - {*TASKS[task].tables}
