"""A session watched from inside its optimizer: what each step finds and what it leaves."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from engine import shards
from engine.checkpoint import TRAINING, Checkpoint
from engine.session import Session
from tests.engine.oracle import Expected
from tests.engine.sessions import same, tensors


class Watch:
    """Tensors change in steps only, and in a step only those that train; `expected` says which."""

    def __init__(
        self,
        session: Session,
        expected: Expected,
        stepping: Callable[[], None],
        stepped: Callable[[float, set[str]], None],
    ) -> None:
        """`expected` may be replaced later on. `stepping` is called before a step is checked, and
        `stepped` after it, with its rate and the names of the parameters that it has moved."""
        self.session, self.expected = session, expected
        self._stepping, self._stepped = stepping, stepped
        self.take_over()
        session.optimizer.register_step_pre_hook(lambda *_: self._before_step())
        session.optimizer.register_step_post_hook(lambda *_: self._after_step())

    def take_over(self) -> None:
        """What the tensors are now is what they must be at the next look."""
        self._last = tensors(self.session.module)
        self._held = moments(self.session).keys()

    def look(self) -> None:
        """Between steps: nothing moves, and what was asked for is in force."""
        session, expected = self.session, self.expected
        p, config = session.progress, session.config
        now = session.module.state_dict()
        assert [name for name in now if not torch.equal(now[name], self._last[name])] == []
        assert self._trainable == expected.trainable
        assert p.step == expected.step
        assert p.base_lr == expected.lr
        assert p.stages == expected.stages
        assert config.training.epochs == expected.epochs
        assert session.train_data.brightness == expected.strength  # type: ignore[attr-defined]

    @property
    def _trainable(self) -> set[str]:
        return {name for name, p in self.session.module.named_parameters() if p.requires_grad}

    def _before_step(self) -> None:
        self._stepping()
        expected, module = self.expected, self.session.module
        trainable = expected.trainable
        assert self._trainable == trainable
        assert {name for name, p in module.named_parameters() if p.grad is not None} == trainable
        for path, child in module.named_modules():
            assert child.training == expected.learns(path), path
        self._check_buffers()
        self._check_groups()
        self._kept = {
            name: state for name, state in self._moments().items() if name not in trainable
        }
        keep = expected.config.optimizer.frozen_moments == "keep"
        held = self._held - trainable if keep else set()
        assert self._kept.keys() >= held
        # SGD's start at zero as soon as a tensor trains, which may be frozen before it has moved
        unborn = [self._kept[name] for name in self._kept.keys() - held]
        assert keep or not unborn
        assert not any(tensor.any() for state in unborn for tensor in state.values())

    def _after_step(self) -> None:
        expected, now = self.expected, tensors(self.session.module)
        names = expected.anatomy.names
        moved = {name for name in names if not torch.equal(now[name], self._last[name])}
        assert moved == {n for n in expected.trainable if expected.multiplier(n) > 0}
        found = moments(self.session)
        assert all(same(found[name], state) for name, state in self._kept.items())
        self._held = found.keys()
        rate, self._last = expected.base_rate, now
        expected.step += 1
        self._stepped(rate, moved)

    def _check_buffers(self) -> None:
        """Parameters have not moved yet, and of the buffers only those of norms that train."""
        now = self.session.module.state_dict()
        moved = {name for name in now if not torch.equal(now[name], self._last[name])}
        buffers = now.keys() - set(self.expected.anatomy.names)
        assert moved == {x for x in buffers if self.expected.learns(x.rpartition(".")[0])}

    def _check_groups(self) -> None:
        """Each parameter is in one group, whose rate and decay are its own."""
        groups = self.session.optimizer.param_groups
        group_of = {id(p): group for group in groups for p in group["params"]}
        assert len(group_of) == sum(len(group["params"]) for group in groups)
        base, expected = self.expected.base_rate, self.expected
        for name, parameter in self.session.module.named_parameters():
            group: dict[str, Any] = group_of.pop(id(parameter))
            rate = base * expected.multiplier(name)
            assert math.isclose(group["lr"], rate, rel_tol=1e-12), (name, group["lr"], rate)
            assert group["weight_decay"] == expected.decay(name), name
        assert not group_of

    def _moments(self) -> dict[str, dict[str, Tensor]]:
        return {
            name: {key: tensor.clone() for key, tensor in state.items()}
            for name, state in moments(self.session).items()
        }


def moments(session: Session) -> dict[str, dict[str, Tensor]]:
    """What the optimizer keeps, not copied, by the names of the parameters that it is for."""
    named, states = session.module.named_parameters(), session.optimizer.state
    return {name: states[parameter] for name, parameter in named if states.get(parameter)}


def everything(session: Session) -> dict[str, Tensor]:
    """A copy of all tensors that a run consists of, by names that say which they are."""
    found = tensors(session.module)
    for name, state in moments(session).items():
        found |= {f"{key} of {name}": tensor for key, tensor in state.items()}
    if session.average:
        saved = session.average.state(session.module)
        found |= {f"average of {name}": tensor for name, tensor in saved["shadows"].items()}
        found["updates of the average"] = torch.tensor(saved["updates"])
    found |= {f"generator {name}": x for name, x in session.device.rng_state().items()}
    return {name: tensor.clone() for name, tensor in found.items()}


def stored(saved: Checkpoint) -> dict[str, Tensor]:
    """All tensors of a checkpoint's files."""
    training = torch.load(saved.path / TRAINING, weights_only=True)
    return shards.read(saved.path) | _flat(training, "")


def _flat(tree: Mapping[str, Any], path: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{path}{key} ")
        else:
            found[f"{path}{key}"] = torch.as_tensor(value)
    return found


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Names of the tensors that are not the same, bit for bit, in both."""
    here = one.keys() & other.keys()
    return sorted(one.keys() ^ other.keys()) + [
        name for name in sorted(here) if not torch.equal(one[name], other[name])
    ]
