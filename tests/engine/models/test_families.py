"""Every model of every family takes a step; most of them only where that is asked for."""

import pytest

from tests.engine.models.families import DECODERS, ENCODERS, MODELS, step

QUICK = {
    "torchvision/resnet18",
    "torchvision/squeezenet1_1",
    "torchvision/lraspp_mobilenet_v3_large",
    "timm/convnext_atto",
    *ENCODERS,
    *DECODERS,
}
ALL = [
    pytest.param(task, name, marks=() if name in QUICK else pytest.mark.thorough)
    for task, names in MODELS.items()
    for name in names
]


@pytest.mark.parametrize(("task", "name"), ALL)
def test_one_real_step(task: str, name: str) -> None:
    assert step(task, name).model == name
