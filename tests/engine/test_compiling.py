"""Training steps through torch.compile: under each plan anew, and without it where that fails."""

from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from torch import nn

from engine.compiling import Compiled
from engine.contract import commands as c
from engine.contract import events as e
from engine.contract.config import Config
from engine.contract.rules import Rule
from engine.contract.training_tables import TrainingConfig
from engine.speed import compile_ahead
from tests.engine.sessions import config, of, run, same, session, tensors
from tests.engine.test_layout import without_dropout

pytestmark = pytest.mark.usefixtures("one_thread")


def asked(compiles: bool) -> Config:
    """Five steps an epoch, the last of them with fewer samples."""
    return config(training=TrainingConfig(epochs=2, threads=1, cache="off", compile=compiles))


def test_only_whole_batches_and_each_plan_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    class Made(nn.Module):
        """In place of what torch compiles, which takes a minute."""

        def __init__(self, module: nn.Module, **_: Any) -> None:
            super().__init__()
            self._run, self.sizes = module.forward, list[int]()
            made.append(self)

        def forward(self, inputs: torch.Tensor) -> Any:
            self.sizes.append(len(inputs))
            return self._run(inputs)

    monkeypatch.setattr(torch, "compile", Made)
    freeze = c.Freeze(id="1", pattern="stem")
    ends = []
    for compiles in (False, True):
        (folder := tmp_path / str(compiles)).mkdir()
        one = session(folder, asked(compiles))
        events = run(one, [(7, freeze)])
        ends.append(tensors(one.module))
    told: list[Any] = of(e.ModelCompiled, events)
    assert [x.step for x in told] == [1, 8]
    assert [x.sizes for x in made] == [[4] * 4 + [4] * 2, [4] * 2]
    assert all(torch.equal(x, ends[1][name]) for name, x in ends[0].items())


def test_that_there_is_no_compiler_is_said_in_plain_words() -> None:
    compiled = Compiled(nn.Identity())
    compiled.fail(RuntimeError("InvalidCxxCompiler: No working C++ compiler found in torch._ind"))
    assert compiled.failure == "there is no C++ compiler, such as g++"


def test_a_run_goes_on_where_it_can_not_be_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        def run(_: Any) -> Any:
            raise RuntimeError("no working C++ compiler")

        return run

    monkeypatch.setattr(torch, "compile", fails)
    made = session(tmp_path, asked(compiles=True))
    stages: list[str] = []
    (warned,) = compile_ahead(made, stages.append)
    assert stages == ["compiling the passes of training"]
    assert isinstance(warned, e.Warned)
    assert "no working C++ compiler), so it trains without" in warned.message
    events = run(made)
    assert isinstance(events[-1], e.RunFinished)
    assert not of(e.Warned, events)


@pytest.mark.thorough
def test_really_compiled_it_comes_close_and_frozen_is_frozen(tmp_path: Path) -> None:
    ends, rules = [], [Rule("*"), Rule("stem", train=False)]
    for compiles in (False, True):
        (folder := tmp_path / str(compiles)).mkdir()
        torch.manual_seed(0)
        made = session(folder, replace(asked(compiles), trainable=rules), without_dropout())
        frozen = tensors(made.module.get_submodule("stem"))
        ahead = list(compile_ahead(made, lambda _: None))
        assert [type(x) for x in ahead] == compiles * [e.ModelCompiled]
        events = run(made, [(3, c.Freeze(id="1", pattern="body"))])
        assert len(of(e.ModelCompiled, events)) == compiles
        assert same(frozen, tensors(made.module.get_submodule("stem")))
        ends.append(tensors(made.module))
    assert all(torch.allclose(x, ends[1][name], atol=1e-4) for name, x in ends[0].items())
