"""Small models as trees, from an outline."""

from engine.contract.preprocessing import Preprocessing
from engine.contract.tree import ModelInfo, ModuleInfo

Outline = dict[str, "str | Outline"]
"""Name and type, as `layer1 Sequential`, to the modules inside it, or to the name of a layer's
parameters of one element each: `weight bias`."""


def tree(outline: Outline, head: str = "head") -> ModelInfo:
    return ModelInfo("test/net", _modules(outline, ""), [head], Preprocessing())


def layer(count: int = 1) -> Outline:
    """So many layers of a block."""
    return {f"conv{i} Conv2d": "weight" for i in range(count)}


def series(name: str, kind: str, count: int, inside: Outline) -> Outline:
    """Siblings that are alike: name0, name1, ..."""
    return {f"{name}{i} {kind}": inside for i in range(count)}


def _modules(outline: Outline, prefix: str) -> list[ModuleInfo]:
    modules = []
    for title, inside in outline.items():
        name, _, kind = title.partition(" ")
        own = dict.fromkeys(inside.split(), 1) if isinstance(inside, str) else {}
        fits = (1, 1) if kind in ("Linear", "Conv2d") and "weight" in own else None
        modules.append(ModuleInfo(prefix + name, kind, own, fits))
        if not isinstance(inside, str):
            modules += _modules(inside, f"{prefix}{name}.")
    return modules
