"""A plan as text of its own: its rules and stages as `config.toml` has them, and nothing else."""

from collections.abc import Iterable
from pathlib import Path

from msgspec import field

from engine.contract import toml
from engine.contract.errors import UserError
from engine.contract.plan import begins_anew, resolve
from engine.contract.rules import Rule, Stage
from engine.contract.table import Table
from engine.contract.text import plain
from engine.contract.tree import ModelInfo


class Plan(Table, frozen=True):
    """What trains, from the first step on and later."""

    trainable: list[Rule] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)


def dump(rules: Iterable[Rule], stages: Iterable[Stage] = ()) -> str:
    """The TOML text of a plan: `match` and `train` of each rule, and whatever is not usual."""
    return "\n".join([*toml.dump_rules("trainable", rules), *map(toml.dump_stage, stages)])


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


def check(plan: Plan, model: ModelInfo) -> None:
    """Raises `UserError` where a plan is not for a model, as far as its tree tells."""
    rules = list(plan.trainable)
    for more in ([], *(stage.trainable for stage in plan.stages)):
        rules += more
        assignments = resolve(rules, model)
        begins_anew(list(model.root_own), assignments)
        for module in model.modules:
            begins_anew([f"{module.path}.{name}" for name in module.own], assignments)
