"""A model on one line."""

from textual.content import Content

from engine.contract.text import plain
from engine.contract.tree import ModelInfo
from ftui.widgets.module_tree.words import count_text


def shape(model: ModelInfo, classes: int | None) -> Content:
    """Parameters, input and head, with the classes that it is for where they are known."""
    head = ", ".join(map(plain, model.head))
    made_for = f": {classes:,} classes" if classes else ""
    return Content.assemble(
        f"{count_text(model.total_parameters)} ",
        ("params, ", ".muted"),
        *_taken(model),
        ("head ", ".muted"),
        f"{head}{made_for}",
    )


def _taken(model: ModelInfo) -> list[str | tuple[str, str]]:
    if model.preprocessing:
        return [f"{model.preprocessing.image_size} ", ("px, ", ".muted")]
    pooled = f"{plain(model.pooling)} pooling, " if model.pooling else ""
    return [f"{model.positions:,} ", (f"tokens, {pooled}", ".muted")] if model.positions else []
