"""Weights put into a module, and what came of it in words."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.contract.errors import UserError
from engine.contract.text import plain
from engine.models import keys
from engine.models.guess import most_like
from engine.models.weights import StateDict

_NAMED = 3  # tensors that a sentence names
_COUNTER = "num_batches_tracked"  # of BatchNorm: older files lack it


@dataclass(frozen=True)
class Filled:
    """What became of the tensors of a file in a module."""

    head_kept: bool
    """Whether the head is the file's."""
    words: str
    """To be put behind the file's name: empty where all is as it was asked for."""


def fill(
    module: nn.Module,
    state: Mapping[str, Tensor],
    head: Sequence[str],
    what: str,
    own_file: bool,
    ignore: tuple[str, ...] = (),
    adapt: Callable[[StateDict], StateDict] = lambda state: state,
    build: Callable[[], nn.Module] | None = None,
) -> Filled:
    """Put `state` into `module`, and make its head anew.

    head: paths of the modules whose shape the number of classes decides.
    what: "FILE" and the model, the start of an error: "x.pth does not fit torchvision/resnet18".
    own_file: not published for the model, but the user's. Then its head is kept where it fits, its
    names may have a prefix, and it need not be whole: of the backbone, most must fit.
    ignore: beginnings of names in `state` that this module is built without.
    adapt: to today's names and sizes, from the file's without their prefix.
    build: `module` with memory, for what is missing where `module` has none.

    New head layers are initialised as torch does by default, from its global seed. Raises
    `UserError`, naming the first few tensors, where anything but the head of published weights does
    not fit, or most of the backbone of others.
    """
    expected = module.state_dict()
    state, prefix = keys.fitted(state, expected) if own_file else (dict(state), keys.SAME)
    state = {n: t for n, t in adapt(state).items() if not n.startswith(ignore or ("\0",))}
    in_head = tuple(f"{path}." for path in head)
    own_head = [name for name in expected if name.startswith(in_head)]
    kept = own_file and all(
        name in state and state[name].shape == expected[name].shape for name in own_head
    )
    odd = [n for n in state if n in expected and state[n].shape != expected[n].shape]
    heads_shapes = [n for n in own_head if n in odd]
    odd = [n for n in odd if not n.startswith(in_head)]
    given = {
        name: _own_copy(tensor)
        for name, tensor in state.items()
        if name not in odd and (kept or not name.startswith(in_head))
    }
    missing, left_over = _assign(module, given)
    missing = [n for n in missing if n not in odd and (kept or not n.startswith(in_head))]
    wrong = _differences(missing, left_over, odd, state, expected)
    if wrong and not own_file:
        raise UserError(f"{what}: {wrong}.")
    backbone = [n for n in expected if not n.startswith(in_head) and not n.endswith(_COUNTER)]
    loaded = len(backbone) - len([n for n in [*missing, *odd] if not n.endswith(_COUNTER)])
    if 2 * loaded < len(backbone):
        raise UserError(
            f"{what}: it is a checkpoint of another architecture, as only {loaded} of the "
            f"{len(backbone)} tensors before the head are in it{most_like(state)}."
        )
    many_left = 4 * len(left_over) > len(backbone)  # a deeper network has all of a shallower one
    if own_file and many_left and (looks := most_like(state)):
        raise UserError(f"{what}: it is a checkpoint of another architecture, as {wrong}{looks}.")
    if not kept:
        new_head(module, head)
    _draw_rest(module, build)
    if not own_file:
        return Filled(kept, "")
    told = [_of_head(kept, heads_shapes, own_head, state, expected), wrong]
    if wrong:
        told.insert(0, f"{loaded} of {len(backbone)} tensors before the head")
    if prefix != keys.SAME:
        told.append(plain(prefix))
    return Filled(kept, "".join(f", {part}" for part in told if part))


def new_head(module: nn.Module, head: Sequence[str]) -> None:
    """Initialise the head's layers as torch does by default, from its global seed.

    Families have their own ideas, made for training from scratch: timm's EfficientNets draw a head
    of few classes so wide that fine-tuning starts at a loss of 5 and never recovers.
    """
    for path in head:
        for layer in module.get_submodule(path).modules():
            if hasattr(layer, "reset_parameters"):
                if any(p.is_meta for p in layer.parameters(recurse=False)):
                    layer.to_empty(device="cpu", recurse=False)
                layer.reset_parameters()  # type: ignore[operator]


def _assign(module: nn.Module, state: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Give the module the tensors of `state`; names that are missing, and left over."""
    versioned = OrderedDict(state)
    # Only the root's version is claimed (MNASNet insists on one): modules below then translate
    # the names of older files, as torchvision's MLP and BatchNorm do where no version is given.
    versioned._metadata = {"": {"version": module._version}}  # type: ignore[attr-defined]
    # assigned only where there is no memory to copy to: it would part tensors that are shared
    on_meta = any(parameter.is_meta for parameter in module.parameters())
    result = module.load_state_dict(versioned, strict=False, assign=on_meta)
    return result.missing_keys, result.unexpected_keys


def _draw_rest(module: nn.Module, build: Callable[[], nn.Module] | None) -> None:
    """Memory for what the file lacked, its values drawn as for a model without weights."""
    if build is None or not any(p.is_meta for p in module.state_dict().values()):
        return
    with torch.random.fork_rng(devices=[]):  # a new head must not depend on what is missing
        drawn = build().state_dict()
    rest = {name: drawn[name] for name, t in module.state_dict().items() if t.is_meta}
    _assign(module, rest)


def _own_copy(tensor: Tensor) -> Tensor:
    """Memory of our own: a safetensors file stays mapped, and changes if the file does."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to(dtype, copy=True, memory_format=torch.contiguous_format)


def _of_head(
    kept: bool,
    odd: Sequence[str],
    own_head: Sequence[str],
    state: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
) -> str:
    if kept:
        return "head included" if own_head else ""
    if odd:
        return f"head new ({_shapes(odd[:1], state, expected)})"
    return "head new (the file has none)"


def _differences(
    missing: Sequence[str],
    left_over: Sequence[str],
    odd: Sequence[str],
    state: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
) -> str:
    parts = []
    if odd:
        shapes = _shapes(odd[:_NAMED], state, expected)
        parts.append(f"{_counted(len(odd), 'tensor')} of another shape ({shapes})")
    for names, saying in ((missing, "missing"), (left_over, "left over")):
        if names:
            parts.append(f"{_counted(len(names), 'tensor')} {saying} ({_list(names)})")
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _shapes(
    names: Iterable[str], state: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> str:
    return ", ".join(
        f"{plain(n, 80)} is {_shape(state[n])}, not {_shape(expected[n])}" for n in names
    )


def _list(names: Sequence[str]) -> str:
    more = ["..."] if len(names) > _NAMED else []
    return ", ".join([*(plain(name, 80) for name in names[:_NAMED]), *more])


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a scalar"
