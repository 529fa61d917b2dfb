"""Tables of a config that only some tasks read."""

from typing import Annotated, Literal

from msgspec import Meta

from engine.contract.table import Auto, Table


class ImagesConfig(Table, frozen=True):
    file_column: Annotated[
        str, Meta(min_length=1, description="Column of a list that names the pictures' files.")
    ] = "file"
    label_column: Annotated[
        str,
        Meta(
            min_length=1,
            description="Column that has the label; several stand apart by | or ; or spaces, or "
            "are a JSON list.",
        ),
    ] = "label"
    split_column: Annotated[
        str,
        Meta(
            min_length=1,
            description="Column that says train or val; a list without it is split.",
        ),
    ] = "split"
    root: Annotated[
        str,
        Meta(
            min_length=1,
            description="Folder of torchvision's data sets; 'auto' is datasets/ in TORCH_HOME.",
        ),
    ] = "auto"


class TextConfig(Table, frozen=True):
    text_column: Annotated[
        str, Meta(min_length=1, description="Column of the texts, in a CSV, TSV or JSONL file.")
    ] = "text"
    label_column: Annotated[
        str, Meta(min_length=1, description="Column of the labels, in such a file.")
    ] = "label"
    max_length: Annotated[
        Annotated[int, Meta(ge=4, le=2**20)] | Auto,
        Meta(
            description="Tokens after which a text is cut, and of each block of language "
            "modelling; 'auto' takes as many as the model has positions, but not over 512 (of "
            "blocks 1024, and fewer for little text).",
            extra={"expected": 'a whole number of 4 or more, or "auto"'},
        ),
    ] = "auto"
    pooling: Annotated[
        Literal["auto", "model", "mean", "cls"],
        Meta(
            description="Classification: what the head reads. 'model': as the architecture's own "
            "head does; 'mean': the mean over the tokens; 'cls': the first token; 'auto': what a "
            "checkpoint of sentence-transformers says, else 'model'."
        ),
    ] = "auto"
    sample_prompt: Annotated[
        str,
        Meta(
            description="Language modelling: what the text begins with that is generated at each "
            "evaluation; empty takes the first words of the validation text."
        ),
    ] = ""
    sample_tokens: Annotated[
        int, Meta(ge=0, le=4096, description="Tokens of that text; 0 generates none.")
    ] = 40


class SegmentationConfig(Table, frozen=True):
    loss: Annotated[
        Literal["cross-entropy", "cross-entropy+dice"],
        Meta(description="What is minimised: the pixels' cross-entropy, or the Dice loss too."),
    ] = "cross-entropy"
    ignore_index: Annotated[
        int,
        Meta(
            ge=-1,
            le=65535,
            description="The number in a mask of pixels that don't count; -1: all of them do.",
        ),
    ] = 255
