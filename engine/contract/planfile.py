"""A plan as text of its own: its rules and stages as `config.toml` has them, and nothing else."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import tomli_w
from msgspec import field

from engine.contract import toml
from engine.contract.errors import UserError
from engine.contract.rules import Rule, Stage, Table
from engine.contract.text import plain


class Plan(Table, frozen=True):
    """What trains, from the first step on and later."""

    trainable: list[Rule] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)


def dump(rules: Iterable[Rule], stages: Iterable[Stage] = ()) -> str:
    """The TOML text of a plan: `match` and `train` of each rule, and whatever is not usual."""
    return "\n".join([*_tables("trainable", rules), *(_stage(stage) for stage in stages)])


def load(path: str | Path) -> Plan:
    """The plan in the file at `path`, which may be a whole `config.toml`.

    Raises `UserError` where the file can't be read, isn't TOML, doesn't fit, or has no rule.
    """
    return parse(toml.read(path, "plan"), str(path))


def parse(text: str, source: str) -> Plan:
    """The plan in a TOML text; `source` names it in errors. Raises `UserError`, as `load`."""
    data = toml.tables(text, source)
    names = Plan.__struct_fields__
    plan = toml.convert_to(Plan, {name: data[name] for name in names if name in data}, source)
    if not plan.trainable:
        raise UserError(f"{plain(source)}: there is no plan in it; it wants [[trainable]] rules.")
    return plan


def _stage(stage: Stage) -> str:
    after = f"[[stages]]\n{tomli_w.dumps({'after': stage.after})}"
    return "\n".join([after, *_tables("stages.trainable", stage.trainable)])


def _tables(name: str, rules: Iterable[Rule]) -> Sequence[str]:
    return [f"[[{name}]]\n{tomli_w.dumps(_telling(rule))}" for rule in rules]


def _telling(rule: Rule) -> dict[str, Any]:
    """What a reader wants to know of a rule."""
    usual = Rule(match=rule.match)
    values: dict[str, Any] = msgspec.to_builtins(rule)
    told = {name: value for name, value in values.items() if value != getattr(usual, name)}
    return {"match": rule.match, "train": rule.train, **told}
