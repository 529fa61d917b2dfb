"""Who takes part."""

from importlib.util import find_spec
from typing import NamedTuple

from tests.benchmarks.race.asked import Plan

BARE = "bare PyTorch"
_USUAL = ("training.precision=fp32", "training.channels_last=false")
_FROZEN: tuple[Plan, ...] = ("head", "last-block")


class Contender(NamedTuple):
    module: str
    needs: str = "torch"
    """Package that it can't do without."""
    settings: tuple[str, ...] = ()
    plans: tuple[Plan, ...] = ("full", *_FROZEN)
    """Those for which it is asked."""


CONTENDERS = {
    BARE: Contender("bare"),
    "Lightning": Contender("with_lightning", "lightning"),
    "HF Trainer": Contender("with_trainer", "accelerate"),
    "fastai": Contender("with_fastai", "fastai"),
    "timm": Contender("with_timm", "timm"),
    "ftui": Contender("with_ftui"),
    "ftui, fp32": Contender("with_ftui", settings=_USUAL, plans=_FROZEN),
    "ftui, bf16": Contender("with_ftui", settings=("training.precision=bf16",)),
    "ftui, fp16 cache": Contender(
        "with_ftui", settings=("training.cache_precision=fp16",), plans=_FROZEN
    ),
    "ftui, all off": Contender("with_ftui", settings=(*_USUAL, "training.cache=off")),
}
"""ftui as it comes, in which all of that is automatic; then with settings."""
DEFAULT = [name for name in CONTENDERS if name not in ("ftui, bf16", "ftui, fp16 cache")]


def installed(names: list[str]) -> tuple[list[str], list[str]]:
    """Those that can take part, and a line for each that can't."""
    missing = {name: CONTENDERS[name].needs for name in names}
    missing = {name: package for name, package in missing.items() if find_spec(package) is None}
    lines = [
        f'{name} is left out, as {package} is not installed: pip install -e ".[peers]" brings it.'
        for name, package in missing.items()
    ]
    return [name for name in names if name not in missing], lines
