"""Small curves that tests look at."""

import numpy as np

from ftui.widgets.plot import Marker, Series

STEPS = np.arange(1.0, 101.0)


def train(y: np.ndarray | None = None) -> Series:
    """A hundred steps down a straight line, or `y`."""
    return Series("train", STEPS, np.linspace(2.0, 0.5, 100) if y is None else y, "primary")


def val() -> Series:
    """Four evaluations."""
    steps = np.array([25.0, 50.0, 75.0, 100.0])
    return Series("val", steps, np.array([2.0, 1.5, 1.25, 1.0]), "accent", points=True)


MARKERS = [Marker(40.0, "lr 0.001"), Marker(80.0, "thaw layer4")]
