"""A model as a tree of modules with parameter counts: plain data, no torch."""

from collections.abc import Sequence

from msgspec import Struct

from engine.contract.preprocessing import Preprocessing


class ModuleInfo(Struct, frozen=True, omit_defaults=True):
    """One module of a model, in the order of torch's `named_modules`, the root left out."""

    path: str
    """Dotted, as torch names it: `layer4.1.conv2`."""
    type: str
    """Class name: `Conv2d`."""
    own: dict[str, int] = {}
    """The module's own parameters, children's left out: name to number of elements."""
    adaptable: tuple[int, int] | None = None
    """Outputs and inputs of its weight, where a low-rank adapter fits the layer; the inputs of a
    convolution are channels times kernel."""


class ModelInfo(Struct, frozen=True):
    """What is known of a model without its weights."""

    name: str
    modules: list[ModuleInfo]
    head: list[str]
    """Paths of the modules that are replaced for the classes of the data."""
    preprocessing: Preprocessing | None = None
    """Of its pictures; None where it takes none."""
    root_own: dict[str, int] = {}
    """Parameters that stand on the model itself, such as a class token."""
    positions: int | None = None
    """The most tokens that it takes at once; None where it states none, or takes no text."""
    pooling: str = ""
    """What a linear head reads of a text's tokens, `mean` or `cls`; empty: the model's own head."""

    @property
    def total_parameters(self) -> int:
        return sum(self.root_own.values()) + sum(sum(m.own.values()) for m in self.modules)


def subtree_parameters(model: ModelInfo) -> dict[str, int]:
    """Parameters of each module with all below it, by path."""
    totals = {module.path: sum(module.own.values()) for module in model.modules}
    for path in reversed([module.path for module in model.modules]):  # children come after parents
        parent = path.rpartition(".")[0]
        if parent:
            totals[parent] += totals[path]
    return totals


def parameter_owners(model: ModelInfo) -> dict[str, ModuleInfo | None]:
    """Full parameter name to the module it stands on; None for the model itself."""
    owners: dict[str, ModuleInfo | None] = dict.fromkeys(model.root_own)
    for module in model.modules:
        owners |= {f"{module.path}.{name}": module for name in module.own}
    return owners


def parameter_sizes(model: ModelInfo) -> dict[str, int]:
    """Full parameter name to number of elements, in torch's order of modules."""
    sizes = dict(model.root_own)
    for module in model.modules:
        for name, size in module.own.items():
            sizes[f"{module.path}.{name}"] = size
    return sizes


def blocks(model: ModelInfo) -> Sequence[str]:
    """Paths of the top-level modules that hold parameters, first to last."""
    totals = subtree_parameters(model)
    return [m.path for m in model.modules if "." not in m.path and totals[m.path] > 0]
