"""Names in a checkpoint to names in a module: what trainers put before them, taken off."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import Tensor

_COMPILED = "_orig_mod."  # of torch.compile, wherever a part was compiled
_PARTS = 2  # a name's last parts alone say little: half of all layers have a `weight`


class Prefix(NamedTuple):
    """What names begin with in a checkpoint, and what in its place in the module."""

    theirs: str
    """Such as "module.", of DataParallel, or "model.backbone."; empty for nothing."""
    ours: str

    def __str__(self) -> str:
        if not self.ours:
            return f'"{self.theirs}" taken off the names'
        if not self.theirs:
            return f'"{self.ours}" put before the names'
        return f'"{self.theirs}" in the names read as "{self.ours}"'


SAME = Prefix("", "")


def fitted(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], Prefix]:
    """`state` under the module's names, as far as it has them, and the prefix that was in the way.

    That is the one under which most names and shapes fit. Names that lack it are tried with a part
    of it, or as they are; what fits nowhere keeps its name.
    """
    state = {name.replace(_COMPILED, ""): tensor for name, tensor in state.items()}
    best = _best(state, expected)
    renamed: dict[str, Tensor] = {}
    odd: dict[str, Tensor] = {}
    for prefix in _with_parts(best):
        for name in [n for n in state if n.startswith(prefix.theirs)]:
            ours = prefix.ours + name.removeprefix(prefix.theirs)
            if ours in expected and ours not in renamed:
                renamed[ours] = state.pop(name)
    for name, tensor in state.items():
        if name.startswith(best.theirs):
            name = best.ours + name.removeprefix(best.theirs)
        odd.setdefault(name, tensor)
    return renamed | {name: tensor for name, tensor in odd.items() if name not in renamed}, best


def _best(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Prefix:
    ends: dict[str, list[str]] = {}
    for name in expected:
        for end in _ends(name):
            ends.setdefault(end, []).append(name)
    fits: Counter[Prefix] = Counter({SAME: 0})
    for name, tensor in state.items():
        for end in _ends(name):
            for ours in ends.get(end, ()):
                if expected[ours].shape == tensor.shape:
                    fits[Prefix(name.removesuffix(end), ours.removesuffix(end))] += 1
    # of two that fit alike the shorter one: a copy, such as a teacher, has a name of its own
    return max(fits, key=lambda p: (fits[p], -len(p.theirs) - len(p.ours)))


def _ends(name: str) -> Iterator[str]:
    """`name`, and what is left of it without its first parts."""
    yield name
    parts = name.split(".")
    for start in range(1, len(parts) - _PARTS + 1):
        yield ".".join(parts[start:])


def _with_parts(best: Prefix) -> Iterator[Prefix]:
    """`best`, then what is left of it without its last parts: a head often lacks the backbone's."""
    yield best
    theirs, ours = best
    while theirs or ours:
        theirs, ours = _shorter(theirs), _shorter(ours)
        yield Prefix(theirs, ours)


def _shorter(prefix: str) -> str:
    return prefix[: prefix.rstrip(".").rfind(".") + 1]
