"""Changes of a plan by hand: each is of whole modules, and keeps whatever it does not speak of.

A rule decides all of what it matches, so a change of one thing must write again what stays. It
writes as few rules as that takes: one for a module that is of one piece, more for others.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from engine.contract.adapters import adaptable
from engine.contract.match import WILD, Matcher
from engine.contract.plan import FREEZE_ALL, covers, literal, with_rule, with_rules
from engine.contract.rules import Rule
from engine.contract.tree import ModelInfo

HIGHEST_SCALE = 1e6
HIGHEST_RANK = 4096
"""What a rule takes at most."""
Says = Rule
"""What is said of a parameter; its `match` is always that of FREEZE_ALL."""
_FROZEN: Says = FREEZE_ALL
_MOST_WAYS = 3


class Edit(Protocol):
    """A change; equal ones compare equal."""

    def __call__(self, found: Collection[Says]) -> Mapping[Says, Says]:
        """What becomes of each thing that is said of the parameters of a module."""
        ...


class Train(Struct, frozen=True):
    """Train modules as a whole, or freeze them; adapters go either way."""

    on: bool

    def __call__(self, found: Collection[Says]) -> Mapping[Says, Says]:
        return {
            says: replace(says, train=self.on, reinit=says.reinit and self.on, lora=0, dora=False)
            for says in found
        }


class SetScale(Struct, frozen=True):
    """Give what trains of a module this learning-rate multiplier; a frozen module thaws at it."""

    scale: float

    def __call__(self, found: Collection[Says]) -> Mapping[Says, Says]:
        trains = [says for says in found if says.train] or found
        return {
            says: replace(says, lr_scale=self.scale, train=True) if says in trains else says
            for says in found
        }


class Multiply(Struct, frozen=True):
    """Multiply the learning-rate multipliers of what trains, to six digits."""

    by: float

    def __call__(self, found: Collection[Says]) -> Mapping[Says, Says]:
        return {says: self._multiplied(says) if says.train else says for says in found}

    def _multiplied(self, says: Says) -> Says:
        scale = min(HIGHEST_SCALE, says.lr_scale * self.by)
        return replace(says, lr_scale=float(f"{scale:.6g}"))


class Reinitialise(Struct, frozen=True):
    """Draw new weights, which then train, since they would be no use frozen; or keep the old."""

    on: bool

    def __call__(self, found: Collection[Says]) -> Mapping[Says, Says]:
        if not self.on:
            return {says: replace(says, reinit=False) for says in found}
        return {says: replace(says, train=True, reinit=True, lora=0, dora=False) for says in found}


class Adapt(Struct, frozen=True):
    """Put adapters beside the weights of a module, all of one rank; 0 takes them away again.

    The weights are frozen either way. A head that is a part of the module goes on as it is: it is
    new, and an adapter can't make up for weights that mean nothing.
    """

    rank: int
    dora: bool = False

    def __call__(self, found: Collection[Says]) -> Mapping[Says, Says]:
        if not self.rank:
            return {says: _FROZEN if says.lora else says for says in found}
        trained = [says for says in found if says.train]
        scales = {says.lr_scale for says in trained}
        decays = {says.weight_decay for says in trained}
        adapted = replace(
            _FROZEN,
            train=True,
            lr_scale=scales.pop() if len(scales) == 1 else 1.0,
            weight_decay=decays.pop() if len(decays) == 1 else None,
            lora=self.rank,
            dora=self.dora,
        )
        return dict.fromkeys(found, adapted)


def edited(rules: Sequence[Rule], model: ModelInfo, paths: Iterable[str], edit: Edit) -> list[Rule]:
    """The plan after one change of the modules at `paths`, of which none lies in another.

    Raises `UserError` where one of `rules` matches nothing.
    """
    changed = list(rules)
    for path in paths:
        changed = _edited(changed, model, path, edit)
    return changed


def adapted(rules: Iterable[Rule], model: ModelInfo, paths: Collection[str]) -> bool:
    """Whether adapters are asked for in one of the modules at `paths`."""
    decided = _decided(rules, Matcher(model))
    return any(decided[name].lora for name in _below(decided, paths))


def without_adapters(
    rules: Sequence[Rule], model: ModelInfo, paths: Collection[str], before: Sequence[Rule]
) -> list[Rule]:
    """The plan with the modules at `paths` as they were `before` they were given adapters.

    That plan itself, where nothing else has changed since.
    """
    matcher, adapting = Matcher(model), adaptable(model)
    decided, then = _decided(rules, matcher), _decided(before, matcher)
    changed = list(rules)
    for path in paths:
        have = {name: _of(name, decided[name], adapting) for name in _below(decided, [path])}
        want = {
            name: _of(name, then[name], adapting) if decided[name].lora else says
            for name, says in have.items()
        }
        changed = with_rules(changed, _shortest(path, have, want, adapting))
    after = _decided(changed, matcher)
    same = all(_of(n, after[n], adapting) == _of(n, then[n], adapting) for n in matcher.names)
    return list(before) if same else _living(changed, matcher)


def _edited(rules: list[Rule], model: ModelInfo, path: str, edit: Edit) -> list[Rule]:
    spared = _heads_below(path, model) if isinstance(edit, Adapt) else []
    found = _may_decide(rules, path)
    alike = len(found) == 1 and not any(says.lora for says in found)
    if not spared and (alike or isinstance(edit, Train)):  # no need to look at each parameter
        changes = edit(found)
        if all(says == new for says, new in changes.items()):
            return rules
        if len(set(changes.values())) == 1:
            return with_rule(rules, _rule(path, next(iter(changes.values()))))
    return _edited_in_pieces(rules, model, path, edit, spared)


def _edited_in_pieces(
    rules: list[Rule], model: ModelInfo, path: str, edit: Edit, spared: Sequence[str]
) -> list[Rule]:
    """The shortest way: a rule for each piece that changes, or one for all and its exceptions."""
    matcher, adapting = Matcher(model), adaptable(model)
    decided = _decided(rules, matcher)
    have = {name: _of(name, decided[name], adapting) for name in _below(decided, [path])}
    changes = edit(set(have.values()))
    want = {
        name: says if any(_is_below(name, head) for head in spared) else changes[says]
        for name, says in have.items()
    }
    want = {name: _of(name, says, adapting) for name, says in want.items()}
    pieces = _shortest(path, have, want, adapting)
    return _living(with_rules(rules, pieces), matcher) if pieces else rules


def _shortest(
    path: str, have: Mapping[str, Says], want: Mapping[str, Says], adapting: Collection[str]
) -> list[Rule]:
    """The fewest rules that lead there in the module at `path`; none where all is there."""
    names = list(have)
    pieces = list(_written(names, path, have, want, adapting))
    if not pieces:
        return []
    ways = [pieces]
    for says, _ in Counter(want.values()).most_common(_MOST_WAYS):
        by_it = {name: _of(name, says, adapting) for name in names}
        exceptions = _written(names, path, by_it, want, adapting)
        ways.append([_rule(path, says), *exceptions])
    return min(ways, key=len)


def _decided(rules: Iterable[Rule], matcher: Matcher) -> dict[str, Says]:
    """What is said of each parameter, an adapter also where it can't have one."""
    decided = dict.fromkeys(matcher.names, _FROZEN)
    for rule in rules:
        decided |= dict.fromkeys(matcher.take(rule.match), _says(rule))
    return decided


def _below(names: Iterable[str], paths: Collection[str]) -> list[str]:
    return [name for name in names if any(_is_below(name, path) for path in paths)]


def _written(
    names: Sequence[str],
    path: str,
    have: Mapping[str, Says],
    want: Mapping[str, Says],
    adapting: Collection[str],
) -> Iterator[Rule]:
    """Rules for the largest parts of the tree that want one thing and don't all have it."""
    if all(have[name] == want[name] for name in names):
        return
    one = max((want[name] for name in names), key=lambda says: says.lora)
    if all(_of(name, one, adapting) == want[name] for name in names):
        yield _rule(path, one)
        return
    parts: dict[str, list[str]] = {}
    for name in names:
        rest = name[len(path) + 1 :] if path else name
        part = rest.partition(".")[0]
        parts.setdefault(f"{path}.{part}" if path else part, []).append(name)
    for part, below in parts.items():
        yield from _written(below, part, have, want, adapting)


def _living(rules: Sequence[Rule], matcher: Matcher) -> list[Rule]:
    """Those that still decide something of the model."""
    decides: dict[str, int] = {}
    for number, rule in enumerate(rules):
        decides |= dict.fromkeys(matcher.take(rule.match), number)
    living = set(decides.values())
    return [rule for number, rule in enumerate(rules) if number in living]


def _may_decide(rules: Iterable[Rule], path: str) -> set[Says]:
    """All that is said of parameters below `path`, and maybe what other rules take back."""
    found = {_FROZEN}
    pattern = _pattern(path)
    for rule in rules:
        if covers(rule.match, pattern):
            found = {_says(rule)}
        elif not path or WILD & set(rule.match) or ":" in rule.match or _is_below(rule.match, path):
            found.add(_says(rule))
    return found


def _of(name: str, says: Says, adapting: Collection[str]) -> Says:
    """What is said of one parameter: it stays frozen where it can't have its rule's adapter."""
    return _FROZEN if says.lora and name not in adapting else says


def _heads_below(path: str, model: ModelInfo) -> list[str]:
    """Paths of the heads that a module holds beside other layers for adapters."""
    others = (name for name in adaptable(model) if _is_below(name, path))
    if all(any(_is_below(name, head) for head in model.head) for name in others):
        return []
    return [head for head in model.head if _is_below(head, path)]


def _is_below(name: str, path: str) -> bool:
    return not path or name == path or name.startswith(f"{path}.")


def _pattern(path: str) -> str:
    return literal(path) or FREEZE_ALL.match


def _rule(path: str, says: Says) -> Rule:
    return replace(says, match=_pattern(path))


def _says(rule: Rule) -> Says:
    return replace(rule, match=FREEZE_ALL.match)
