"""Numbers and rows as they read."""

import pytest
from rich.cells import cell_len

from engine.contract.plan import Assignment
from engine.contract.tree import ModelInfo, ModuleInfo, Preprocessing
from ftui.widgets.module_tree import MIXED, Modules, OwnPlan, totals_text
from ftui.widgets.module_tree.draw import ASCII, UNICODE, Glyphs, Look, fit, row, widest
from ftui.widgets.module_tree.from_model import own_plan, rows_of
from ftui.widgets.module_tree.node import NO_ADAPTER, Adapter, Extra, ModuleRow
from ftui.widgets.module_tree.words import count_text, lr_text, share_text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0K"),
        (999_949, "999.9K"),
        (999_950, "1.0M"),
        (11_689_512, "11.7M"),
        (1_240_000_000, "1.2B"),
        (2 * 10**12, "2.0T"),
    ],
)
def test_counts_are_short(count: int, text: str) -> None:
    assert count_text(count) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, ""),
        (0, 9, "0%"),
        (1, 1000, "<1%"),
        (997, 1000, "99%"),
        (9999, 10000, "99%"),
        (7, 7, "100%"),
    ],
)
def test_only_all_of_it_reads_as_all(part: int, whole: int, text: str) -> None:
    assert share_text(part, whole) == text


def test_multipliers_are_short() -> None:
    assert [lr_text(s) for s in (1.0, 0.1, 1 / 3, 1e-5, MIXED, None)] == [
        "1x",
        "0.1x",
        "0.333x",
        "1e-05x",
        "mixed",
        "",
    ]


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (80, "trainable 5,130 of 11,181,642 parameters (<1%)"),
        (40, "trainable 5,130 of 11,181,642 (<1%)"),
        (30, "trainable 5.1K of 11.2M (<1%)"),
        (20, "<1% trainable"),
        (5, "<1% t"),
    ],
)
def test_totals_fit_their_width(width: int, text: str) -> None:
    assert totals_text(5130, 11_181_642, width) == text


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
@pytest.mark.parametrize("width", range(1, 130))
@pytest.mark.parametrize("notes", [False, True])
def test_every_row_is_as_wide_as_its_columns(width: int, glyphs: Glyphs, notes: bool) -> None:
    paths = ["", "层", "层.attention", "层.attention.a_very_long_name_of_a_module_that_goes_on"]
    modules = Modules([ModuleRow(p, "Conv" * (i + 1), 10**i, (4, 6)) for i, p in enumerate(paths)])
    adapter = Adapter(16, True) if notes else NO_ADAPTER
    modules.apply({"层.attention": OwnPlan(3, 0.1, Extra(adapter, 0, notes))})
    columns = fit(width, widest(modules), notes)
    for node in modules.nodes:
        look = Look(leaf=False, opened=True, match=False, pending=True, cursor=True)
        cells = sum(cell_len(s.text) for s in row(node, modules, look, columns, glyphs))
        assert cells <= max(width, 5)  # three signs and an expander are the least


def test_a_plan_of_the_engine_reads_by_module() -> None:
    model = ModelInfo(
        name="m",
        modules=[
            ModuleInfo("fc", "Linear", {"weight": 6, "bias": 2}, (2, 3)),
            ModuleInfo("relu", "ReLU"),
        ],
        head=["fc"],
        preprocessing=Preprocessing(),
        root_own={"token": 3},
    )
    plan = {
        "token": Assignment(train=True, lr_scale=0.5),
        "fc.weight": Assignment(train=True, lr_scale=0.1),
        "fc.bias": Assignment(train=True),
    }
    assert [tuple(row) for row in rows_of(model)] == [
        ("", "", 3, None),
        ("fc", "Linear", 8, (2, 3)),
        ("relu", "ReLU", 0, None),
    ]
    assert own_plan(plan, model) == {
        "": OwnPlan(3, 0.5),
        "fc": OwnPlan(8, MIXED),
        "relu": OwnPlan(0, None),
    }
    plan["fc.bias"] = Assignment(train=False)
    assert own_plan(plan, model)["fc"] == OwnPlan(6, 0.1)
    plan["fc.weight"] = Assignment(train=False, lr_scale=0.1, lora=8)
    assert own_plan(plan, model)["fc"] == OwnPlan(40, 0.1, Extra(Adapter(8), 8 * (2 + 3)))
