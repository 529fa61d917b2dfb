"""Roll-ups, visible rows and searches against naive recomputation on random trees."""

from dataclasses import dataclass

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.contract import adapters
from engine.contract.match import Matcher
from engine.contract.plan import FREEZE_ALL, literal, resolve, with_rule
from engine.contract.preprocessing import Preprocessing
from engine.contract.rules import Rule
from engine.contract.tree import ModelInfo, ModuleInfo
from ftui.widgets.module_tree import MIXED, Mark, ModuleRow, Modules, Node, OwnPlan
from ftui.widgets.module_tree.from_model import PlanReader, module_of, own_plan, rows_of
from ftui.widgets.module_tree.node import NO_ADAPTER, Adapter, Extra
from ftui.widgets.module_tree.rows import VisibleRows
from ftui.widgets.module_tree.search import find

SCALES = [0.1, 1.0, MIXED, None]
FITS = {"Linear": (3, 5)}
ADAPTERS = st.sampled_from([NO_ADAPTER, NO_ADAPTER, Adapter(4), Adapter(8, True)])


@st.composite
def module_rows(draw: st.DrawFn) -> list[ModuleRow]:
    """A random tree, parents before children, brothers not always side by side."""
    rows = [ModuleRow("", "Model", draw(st.integers(0, 9)))]
    for number in range(draw(st.integers(0, 25))):
        above = draw(st.sampled_from(rows)).path
        path = f"{above}.m{number}" if above else f"m{number}"
        kind = draw(st.sampled_from(["Norm", "Linear"]))
        rows.append(ModuleRow(path, kind, draw(st.integers(0, 9)), FITS.get(kind)))
    return rows


@st.composite
def planned(draw: st.DrawFn) -> tuple[list[ModuleRow], dict[str, OwnPlan]]:
    rows = draw(module_rows())
    scale = st.sampled_from(SCALES)
    plan = {
        r.path: OwnPlan(
            draw(st.integers(0, r.parameters)),
            draw(scale),
            Extra(draw(ADAPTERS), draw(st.integers(0, 3)), draw(st.booleans())),
        )
        for r in rows
    }
    return rows, {path: own for path, own in plan.items() if draw(st.booleans())}


def below(path: str, rows: list[ModuleRow]) -> list[ModuleRow]:
    return [r for r in rows if not path or r.path == path or r.path.startswith(f"{path}.")]


@given(st.lists(planned(), min_size=1, max_size=3))
def test_roll_ups_equal_sums_over_the_subtree(cases: list) -> None:
    rows = cases[0][0]
    modules = Modules(rows)
    paths = {row.path for row in rows}
    for _, other in cases:  # plans follow one another, as toggles do
        plan = {p: o for p, o in other.items() if p in paths}
        modules.apply(plan)
        for node in modules.nodes:
            subtree = below(node.path, rows)
            total = sum(r.parameters for r in subtree)
            owns = [plan[r.path] for r in subtree if r.path in plan]
            trainable = sum(own.trainable for own in owns)
            scales = {own.lr_scale for own in owns} - {None}
            whole = total + sum(own.extra.beside for own in owns)
            assert modules.total(node) == total
            assert modules.whole(node) == whole
            assert modules.trainable(node) == trainable
            assert modules.lr_scale(node) == (
                None if not scales else scales.pop() if len(scales) == 1 else MIXED
            )
            assert modules.adapters(node) == {
                plan.get(r.path, OwnPlan(0)).extra.adapter for r in subtree if r.adaptable
            }
            assert modules.new(node) == {
                plan.get(r.path, OwnPlan(0)).extra.new for r in subtree if r.parameters
            }
            expected = Mark.MIXED
            if whole == 0:
                expected = Mark.NONE
            elif trainable == 0:
                expected = Mark.FROZEN
            elif trainable == whole:
                expected = Mark.TRAINABLE
            assert modules.mark(node) is expected


@dataclass
class Naive:
    """Visible rows by plain recursion."""

    opened: set[str]
    shown: set[str] | None = None

    def rows(self, node: Node) -> list[str]:
        if self.shown is not None and node.path not in self.shown:
            return []
        out = [node.path]
        if node.path in self.opened:
            for child in node.children:
                out += self.rows(child)
        return out


@given(module_rows(), st.data())
def test_visible_rows_equal_a_naive_walk(rows: list[ModuleRow], data: st.DataObject) -> None:
    modules = Modules(rows)
    visible, naive = VisibleRows(modules.nodes), Naive({""})
    for _ in range(data.draw(st.integers(1, 8))):
        step = data.draw(st.sampled_from(["flip", "flip", "flip", "all", "none", "reveal"]))
        if step == "flip":
            row = data.draw(st.integers(0, len(visible.rows) - 1))
            node = visible.rows[row]
            (visible.collapse if visible.is_open(node) else visible.expand)(row)
            naive.opened ^= {node.path}
        elif step == "all":
            visible.expand_all()
            naive.opened = {r.path for r in rows}
        elif step == "none":
            visible.collapse_all()
            naive.opened = {""}
        else:
            node = data.draw(st.sampled_from(list(modules.nodes)))
            row = visible.reveal(node)
            assert visible.rows[row] is node
            while node.parent:
                node = node.parent
                naive.opened.add(node.path)
        assert [n.path for n in visible.rows] == naive.rows(modules.root)


@given(module_rows(), st.data())
def test_a_filter_shows_matches_and_ancestors_and_forgets_nothing(
    rows: list[ModuleRow], data: st.DataObject
) -> None:
    modules = Modules(rows)
    visible = VisibleRows(modules.nodes)
    before = list(visible.rows)
    for _ in range(2):
        matches = [n for n in modules.nodes if data.draw(st.booleans())]
        visible.narrow(matches)
        paths = {n.path for n in matches}
        shown = {n.path for n in modules.nodes if paths & {r.path for r in below(n.path, rows)}}
        naive = Naive({r.path for r in rows}, shown)
        assert [n.path for n in visible.rows] == naive.rows(modules.root)
        for node in visible.rows:
            assert visible.is_leaf(node) == (not {c.path for c in node.children} & shown)
    visible.widen()
    assert visible.rows == before


def test_a_hidden_node_stands_at_its_nearest_visible_ancestor() -> None:
    rows = [ModuleRow(p, "M", 1) for p in ("", "a", "a.b", "a.b.c", "d")]
    modules = Modules(rows)
    visible = VisibleRows(modules.nodes)
    assert visible.row_of(modules.by_path["a.b.c"]) == visible.rows.index(modules.by_path["a"])


def test_a_parent_that_torch_left_out_lends_its_name_to_the_child() -> None:
    modules = Modules([ModuleRow("a", "M", 1), ModuleRow("a.shared.w", "M", 2)])
    node = modules.by_path["a.shared.w"]
    assert (node.name, node.parent) == ("shared.w", modules.by_path["a"])


def test_names_from_outside_lose_control_characters() -> None:
    modules = Modules([ModuleRow("a\x1b[31m\n", "T\x07\x1b]0;x\x07", 1)], name="m\x1b[2J")
    shown = "".join(n.name + n.type_name for n in modules.nodes)
    assert shown.isprintable()


PATHS = ["", "conv1", "bn1", "layer1", "layer1.0", "layer1.0.conv1", "layer4.1.conv2", "fc"]
TYPES = {"conv": "Conv2d", "bn1": "BatchNorm2d", "fc": "Linear"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("conv", ["conv1", "layer1.0.conv1", "layer4.1.conv2"]),
        ("CONV1", ["conv1", "layer1.0.conv1"]),
        ("layer*", ["layer1", "layer1.0", "layer1.0.conv1", "layer4.1.conv2"]),
        ("*.conv?", ["layer1.0.conv1", "layer4.1.conv2"]),
        ("l4c2", ["layer4.1.conv2"]),
        ("type:conv", ["conv1", "layer1.0.conv1", "layer4.1.conv2"]),
        ("type:*norm*", ["bn1"]),
        ("layer1 type:Conv", ["layer1.0.conv1"]),
        ("type:Nothing", []),
        ("[", []),
        ("layer1.0.*", ["layer1.0.conv1"]),
    ],
)
def test_a_search_takes_parts_globs_letters_and_types(text: str, expected: list[str]) -> None:
    def type_of(path: str) -> str:
        last = path.rpartition(".")[2]
        return next((t for start, t in TYPES.items() if last.startswith(start)), "Sequential")

    modules = Modules([ModuleRow(p, type_of(p), 1) for p in PATHS])
    assert sorted(n.path for n in find(text, modules.nodes)) == sorted(expected)


def adapts(rule: Rule, model: ModelInfo) -> bool:
    taken = Matcher(model).take(rule.match)
    return not adapters.adaptable(model).keys().isdisjoint(taken)


@given(module_rows(), st.data())
def test_edits_and_other_rules_read_as_the_engine_resolves_them(
    rows: list[ModuleRow], data: st.DataObject
) -> None:
    infos = [
        ModuleInfo(
            r.path,
            r.type,
            {"weight": r.parameters, "bias": 2} if r.parameters else {},
            r.adaptable if r.parameters else None,
        )
        for r in rows
    ]
    model = ModelInfo("m", infos[1:], [], Preprocessing(), root_own=infos[0].own)
    modules = Modules(rows_of(model))
    reader = PlanReader(model, modules)
    usable = [literal(n.path) or "*" for n in modules.nodes if modules.total(n)]
    assume(usable)
    rules = [FREEZE_ALL]
    for _ in range(data.draw(st.integers(1, 5))):
        for _ in range(data.draw(st.integers(1, 3))):
            pattern = data.draw(st.sampled_from([*usable, *usable, "*weight"]))
            rule = Rule(
                pattern,
                data.draw(st.booleans()),
                data.draw(st.sampled_from([0.1, 1.0])),
                reinit=data.draw(st.booleans()),
            )
            if data.draw(st.integers(0, 3)) == 0 and adapts(rule, model):
                rule = replace(rule, train=True, reinit=False, lora=8)
            rules = with_rule(rules, rule)
        assert reader.read(rules) == own_plan(resolve(rules, model), model)
    assert reader.read([FREEZE_ALL, *rules]) == own_plan(resolve(rules, model), model)


def test_a_pattern_names_a_module_only_where_it_takes_that_one_whole() -> None:
    modules = Modules([ModuleRow("", "M", 0), ModuleRow("a", "L", 1), ModuleRow("b[0]", "L", 1)])
    found = {p: module_of(p, modules) for p in ("*", "a", "b[[]0]", "b[0]", "a*", "[a]", "c")}
    assert found == dict.fromkeys(found) | {"*": "", "a": "a", "b[[]0]": "b[0]"}
