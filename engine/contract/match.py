"""What the pattern of a rule takes in a model: names of parameters.

`layer4`, `*.bias`     a path or a glob over paths, with all that lies below a module
`type:BatchNorm2d`     a glob over module types, with all that lies below them
`re:layer[34]`         a regular expression that fits a whole path, with all that lies below
`last:2`               the head, the last two blocks, and all that comes after the first of them
"""

import fnmatch
import re
from collections.abc import Collection
from functools import cached_property

from engine.contract.depth import ancestors, repeated_blocks
from engine.contract.errors import UserError
from engine.contract.text import did_you_mean, nearest, plain
from engine.contract.tree import ModelInfo, blocks, parameter_sizes, subtree_parameters

WILD = set("*?[")
_META = re.compile(r"[\\^$*+?()\[\]{}|]")


class Matcher:
    """Answers for one model, which share what had to be read off its tree.

    A star and a plain path, which is what the app writes, need no regular expression: a tree of
    20,000 modules resolves while a key is still on its way up.
    """

    def __init__(self, model: ModelInfo) -> None:
        self.model = model
        self.names: Collection[str] = parameter_sizes(model)
        """Of all parameters, in torch's order."""

    def take(self, pattern: str) -> Collection[str]:
        """Names of the parameters that `pattern` takes, in torch's order.

        Raises `UserError` where that is none, naming the nearest paths, and where the pattern
        can't be understood.
        """
        taken = self._taken(pattern)
        if not taken:
            raise UserError(self._nothing(pattern))
        return taken

    def _taken(self, pattern: str) -> Collection[str]:
        if pattern == "*":
            return self.names
        kind, colon, rest = pattern.partition(":")
        if colon and kind == "type":
            of_type = _glob(rest)
            return self._below({m.path for m in self.model.modules if of_type.fullmatch(m.type)})
        if colon and kind == "re":
            return self._fitting(_regex(rest))
        if colon and kind == "last":
            return self._last(rest)
        if not WILD & set(pattern):
            below = f"{pattern}."
            return [name for name in self.names if name.startswith(below) or name == pattern]
        path_or_below = _glob(pattern)
        return [name for name in self.names if path_or_below.match(name)]

    def _below(self, roots: set[str]) -> list[str]:
        return [name for name in self.names if not roots.isdisjoint(ancestors(name))]

    def _fitting(self, regex: re.Pattern[str]) -> list[str]:
        roots = {m.path for m in self.model.modules if regex.fullmatch(m.path)}
        return [
            name
            for name in self.names
            if regex.fullmatch(name) or not roots.isdisjoint(ancestors(name))
        ]

    def _last(self, count: str) -> Collection[str]:
        """From the start of a block on, in the order of the tree; the head wherever it stands."""
        if not count.isdecimal():
            raise UserError(
                f'trainable: "last:{plain(count)}" is not a number of blocks; write "last:2" for '
                "the head and the last two."
            )
        starts = self._block_starts
        if int(count) > len(starts):
            raise UserError(
                f'trainable: "last:{count}" asks for more than the {len(starts)} blocks of '
                f'{plain(self.model.name)}; "*" takes the whole model.'
            )
        start = starts[-int(count)] if int(count) else len(self._ordered)
        return [*(self._ordered[i] for i in self._head if i < start), *self._ordered[start:]]

    @cached_property
    def _ordered(self) -> list[str]:
        return list(self.names)

    @cached_property
    def _head(self) -> list[int]:
        """Where in `_ordered` the parameters of the head stand."""
        heads = tuple(f"{path}." for path in self.model.head)
        return [index for index, name in enumerate(self._ordered) if name.startswith(heads)]

    @cached_property
    def _block_starts(self) -> list[int]:
        """Where in `_ordered` each block begins, first to last."""
        starts = dict.fromkeys(repeated_blocks(self.model), len(self._ordered))
        for index, name in enumerate(self._ordered):
            for path in ancestors(name):
                if path in starts:
                    starts[path] = min(index, starts[path])
        return list(starts.values())

    def _nothing(self, pattern: str) -> str:
        """The sentence; what is named in it holds parameters."""
        model, totals = self.model, subtree_parameters(self.model)
        holding = [module for module in model.modules if totals[module.path]]
        kind, _, rest = pattern.partition(":")
        if kind == "type":
            types = dict.fromkeys(module.type for module in holding)
            hint = did_you_mean(pattern, [f"type:{name}" for name in nearest(rest, types, 3)], 3)
            hint = hint or f"; its types are {', '.join(map(plain, types))}."
        else:
            wanted = _META.sub("", rest) if kind == "re" else pattern
            hint = did_you_mean(wanted, [*(module.path for module in holding), *self.names], 3)
            hint = hint or f"; its top-level modules are {', '.join(map(plain, blocks(model)))}."
        return f'trainable: "{plain(pattern)}" matches no parameter of {plain(model.name)}{hint}'


def _glob(pattern: str) -> re.Pattern[str]:
    """Compiled so that `match` takes the path itself and all below it."""
    return re.compile(f"(?:{fnmatch.translate(pattern)[:-2]})(?:\\..*)?$")


def _regex(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise UserError(
            f'trainable: "re:{plain(pattern)}" is not a regular expression ({plain(error)}).'
        ) from None
