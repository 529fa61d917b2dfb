"""The blocks of a model, which its depth is counted in: what `last:K` means. No torch.

A block is the unit that an architecture repeats: resnet's BasicBlock, a transformer's layer,
DenseNet's dense layer. Nothing in a module says that it is one, so it is read off the tree.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

from engine.contract.tree import ModelInfo, ModuleInfo, parameter_sizes

_CONTAINERS = {"Sequential", "ModuleList", "ModuleDict"}
_NUMBER = re.compile(r"\d+[a-z]?")  # as in layer4, block1-0 and GoogLeNet's inception3a
_LEAST_LAYERS = 2  # a convolution with its norm, or a patch merging, is no block


def repeated_blocks(model: ModelInfo) -> list[str]:
    """Paths of the model's blocks, from the input to the output; the head has none.

    Candidates are modules with a number in their name that hold at least two layers and are no
    mere containers. Types that occur among numbered siblings are repeated; where one such module
    holds another, as a stage of Swin holds blocks, the inner one counts. Every module of those
    types is a block, also one that is alone in its stage; so is a candidate beside them, such as
    the two reductions of Inception v3. Where nothing repeats (VGG, AlexNet) each layer is a block.
    """
    heads = set(model.head)
    body = [module for module in model.modules if not _is_below(module.path, heads)]
    layers = _layers_below(body)
    large = [m for m in body if layers[m.path] >= _LEAST_LAYERS and m.type not in _CONTAINERS]
    candidates = [module for module in large if _has_number(module)]
    alike = Counter(map(_series, candidates))
    repeated = [m for m in candidates if alike[_series(m)] > 1]
    kinds = {m.type for m in _innermost(repeated)}
    found = {m.path for m in _innermost([m for m in body if m.type in kinds])}
    around = {above for path in found for above in ancestors(path)}
    for module in candidates:
        if module.path not in around and not _is_below(module.path, found):
            found.add(module.path)
    found = found or {m.path for m in body if _is_layer(m)}
    return [m.path for m in body if m.path in found]


def parts(model: ModelInfo) -> dict[str, list[str]]:
    """All parameters, by name, in the parts that a model is made of: path to names, in order.

    Parts are the blocks, the layers of the head, and what stands before, between and after them in
    as large pieces as there are: modules, or single parameters of a module that holds blocks.
    """
    whole = {*repeated_blocks(model), *model.head}
    around = {above for path in whole for above in ancestors(path)} | {""}
    found: dict[str, list[str]] = {}
    for name in parameter_sizes(model):
        part = name
        for path in ancestors(name):
            if part in whole or path in around:
                break
            part = path
        found.setdefault(part, []).append(name)
    return found


def ancestors(path: str) -> Iterator[str]:
    """The paths of all modules above `path`, the nearest first and "" (the model) last."""
    while path:
        path = path.rpartition(".")[0]
        yield path


def _is_below(path: str, roots: set[str]) -> bool:
    """Whether a module is one of `roots` or lies in one."""
    return path in roots or not roots.isdisjoint(ancestors(path))


def _is_layer(module: ModuleInfo) -> bool:
    return bool(module.own) and "Norm" not in module.type


def _layers_below(modules: Sequence[ModuleInfo]) -> Counter[str]:
    """How many modules with parameters, norms left out, each one is or holds, by path."""
    paths = (module.path for module in modules if _is_layer(module))
    return Counter(chain.from_iterable((path, *ancestors(path)) for path in paths))


def _has_number(module: ModuleInfo) -> bool:
    return bool(_NUMBER.search(module.path.rpartition(".")[2]))


def _series(module: ModuleInfo) -> tuple[str, str, str]:
    """Equal for siblings of one type whose names differ only in their numbers.

    Two branches of a block may be of one type (window and grid attention); they aren't numbered.
    """
    parent, _, name = module.path.rpartition(".")
    return parent, module.type, _NUMBER.sub("#", name)


def _innermost(modules: Sequence[ModuleInfo]) -> list[ModuleInfo]:
    """Those that hold no other; children come right after their parents."""
    rest = [*modules[1:], None]
    return [m for m, after in zip(modules, rest, strict=False) if not after or not _in(m, after)]


def _in(outer: ModuleInfo, inner: ModuleInfo) -> bool:
    return inner.path.startswith(f"{outer.path}.")
