"""What is had without learning."""

from msgspec import Struct


class Baseline(Struct, frozen=True):
    """What the validation data gives to who has learned next to nothing."""

    figure: str
    """By its key in `Evaluated.figures`."""
    value: float
    how: str
    """In a few words, as in `by always saying "cat"`."""
