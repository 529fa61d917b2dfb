"""Every model of every family takes a step; minutes, so only where it is asked for."""

import pytest

from tests.engine.models.families import FAMILIES

ALL = [(task, name) for task, (_, wanted) in FAMILIES.items() for name in wanted]


@pytest.mark.thorough
@pytest.mark.parametrize(("task", "name"), ALL)
def test_one_real_step(task: str, name: str) -> None:
    if name.startswith("timm/"):
        pytest.importorskip("timm")
    one, wanted = FAMILIES[task]
    assert name in one(name, wanted[name])
