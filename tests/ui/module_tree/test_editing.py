"""What the keys ask of a plan, of one module or of several, and values typed in a row."""

import pytest

from engine.contract.edits import Adapt, Multiply, Reinitialise, SetScale
from ftui.widgets.module_tree import ModuleRow, OwnPlan
from ftui.widgets.module_tree.editor import RowEditor
from ftui.widgets.module_tree.node import Adapter, Extra
from tests.ui.module_tree.test_pane import FREEZE, PLAN, ROWS, TRAIN, TreeApp, screen

FITTING = [
    ModuleRow(*row[:3], (8, 4) if row.type in ("Conv2d", "Linear") else None) for row in ROWS
]


def editor(app: TreeApp) -> RowEditor:
    return app.query_one(RowEditor)


def notices(app: TreeApp) -> list[str]:
    return [notice.message for notice in app._notifications]


# Values that are typed


async def test_a_multiplier_is_typed_where_it_stands() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("G", "equals_sign")
        row = screen(app).index(next(line for line in screen(app) if "head" in line))
        assert editor(app).has_focus
        assert editor(app).value == "1"
        assert editor(app).region.y == row
        assert editor(app).region.right == screen(app)[0].index("lr") + len("lr")
        assert "learning-rate multiplier of head, such as 0.1" in screen(app)[-1]
        await pilot.press(*"0.25", "enter")
        assert app.asked == [(SetScale(0.25), ["head"])]
        assert app.focused is app.tree_table
        assert screen(app)[-1].strip().startswith("trainable 5,258")


@pytest.mark.parametrize("key", ["escape", "ctrl+g"])
async def test_a_value_is_left_as_it_is_by_two_keys(key: str) -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("G", "equals_sign", *"0.5", key)
        assert app.asked == []
        assert app.focused is app.tree_table
        assert not editor(app).display


@pytest.mark.parametrize(
    ("key", "typed", "sentence"),
    [
        ("equals_sign", "fast", "A number from 0 to 1e6, such as 0.1."),
        ("equals_sign", "-1", "A number from 0 to 1e6, such as 0.1."),
        ("equals_sign", "nan", "A number from 0 to 1e6, such as 0.1."),
        ("L", "2.5", "A whole number from 0 to 4096, such as 8."),
        ("L", "4097", "A whole number from 0 to 4096, such as 8."),
    ],
)
async def test_what_makes_no_sense_is_one_sentence(key: str, typed: str, sentence: str) -> None:
    app = TreeApp(FITTING)
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("G", key, *typed, "enter")
        assert screen(app)[-1].strip() == sentence
        assert editor(app).has_focus
        await pilot.press("ctrl+u", *"4", "enter")
        assert len(app.asked) == 1


async def test_a_multiplier_may_end_in_x_as_it_is_shown() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("G", "equals_sign", *"0.5x", "enter")
        assert app.asked == [(SetScale(0.5), ["head"])]


async def test_several_multipliers_begin_with_none() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("equals_sign")  # of the model: 0.1 and 1
        assert editor(app).value == ""
        await pilot.press("escape", "j", "equals_sign")  # of the stem, which is frozen
        assert editor(app).value == ""


async def test_a_row_that_scrolls_away_takes_its_editor_along() -> None:
    app = TreeApp()
    async with app.run_test(size=(60, 6)) as pilot:
        await pilot.press("E", "G", "equals_sign")
        assert editor(app).display
        app.tree_table.scroll_to(y=0, animate=False)
        await pilot.pause()
        assert not editor(app).display
        assert app.focused is app.tree_table


@pytest.mark.parametrize("width", [12, 30, 46, 200])
async def test_a_value_can_be_typed_at_any_width(width: int) -> None:
    app = TreeApp(FITTING)
    async with app.run_test(size=(width, 12)) as pilot:
        for key in ("equals_sign", "L"):
            await pilot.press("G", key)
            assert app.screen.region.contains_region(editor(app).region)
            await pilot.press("4", "enter")
        assert app.asked == [(SetScale(4), ["head"]), (Adapt(4), ["head"])]


# Keys


async def test_multipliers_are_multiplied_by_keys() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("G", "minus", "plus", "less_than_sign", "greater_than_sign")
        assert app.asked == [(Multiply(by), ["head"]) for by in (0.5, 2.0, 0.1, 10.0)]


async def test_what_is_frozen_has_no_multiplier_to_multiply() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20), notifications=True) as pilot:
        await pilot.press("j", "minus", "j", "minus")
        assert app.asked == []
        assert notices(app) == [
            "stem has no multiplier while frozen; = thaws at one.",
            "act has no parameters to train.",
        ]


async def test_new_weights_are_asked_for_and_taken_back() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("G", "i")
        app.pane.apply_plan({"head": OwnPlan(5_130, extra=Extra(new=True))})
        await pilot.press("i", "g", "i")
        assert app.asked == [
            (Reinitialise(True), ["head"]),
            (Reinitialise(False), ["head"]),
            (Reinitialise(True), [""]),  # a part of it is not new yet
        ]


async def test_adapters_are_asked_for_changed_and_taken_away() -> None:
    app = TreeApp(FITTING)
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("G", "a", "D")
        app.pane.apply_plan({"head": OwnPlan(192, 1.0, Extra(Adapter(16), 192))})
        await pilot.press("D", "L")
        assert editor(app).value == "16"
        await pilot.press(*"4", "enter")
        app.pane.apply_plan({"head": OwnPlan(48, 1.0, Extra(Adapter(4, True), 48))})
        await pilot.press("D", "L", *"32", "enter", "a")
        await pilot.press("g", "a")  # only the head has any: none is left
        assert app.asked == [
            (Adapt(8), ["head"]),
            (Adapt(8, True), ["head"]),
            (Adapt(16, True), ["head"]),
            (Adapt(4), ["head"]),
            (Adapt(4), ["head"]),
            (Adapt(32, True), ["head"]),
            (Adapt(0), ["head"]),
            (Adapt(0), [""]),
        ]


async def test_rank_0_takes_adapters_away() -> None:
    app = TreeApp(FITTING)
    async with app.run_test(size=(80, 20)) as pilot:
        app.pane.apply_plan({"head": OwnPlan(48, 1.0, Extra(Adapter(4, True), 48))})
        await pilot.press("G", "L", "0", "enter")
        assert app.asked == [(Adapt(0), ["head"])]


async def test_where_no_adapter_fits_it_says_so() -> None:
    app = TreeApp(FITTING)
    async with app.run_test(size=(80, 20), notifications=True) as pilot:
        app.tree_table.select("layer1.0.norm")
        await pilot.press("a", "L", "D", "v", "down", "a")
        assert app.asked == []
        assert notices(app) == [
            *["norm has no Linear or Conv2d layer to adapt."] * 3,
            "2 modules have no Linear or Conv2d layer to adapt.",
        ]


async def test_dora_of_several_ranks_needs_one_first() -> None:
    app = TreeApp(FITTING)
    async with app.run_test(size=(80, 20), notifications=True) as pilot:
        ranks = {"stem": Adapter(4), "head": Adapter(8)}
        app.pane.apply_plan({p: OwnPlan(1, 1.0, Extra(a, 1)) for p, a in ranks.items()})
        await pilot.press("D")
        assert app.asked == []
        assert notices(app) == ["These have adapters of several ranks; L gives them one."]
        await pilot.press("L")
        assert editor(app).value == ""


async def test_notes_stand_behind_names_and_say_where_they_are_of_a_part() -> None:
    app = TreeApp(FITTING)
    async with app.run_test(size=(80, 20)) as pilot:
        plain = screen(app)[0]
        app.pane.apply_plan(
            {
                "stem": OwnPlan(5_130, extra=Extra(new=True)),
                "layer1.0.conv": OwnPlan(96, 0.1, Extra(Adapter(8), 96)),
                "head": OwnPlan(192, 1.0, Extra(Adapter(16), 192)),
            }
        )
        await pilot.press("E")
        rows = [line[1:].replace("│", " ").split() for line in screen(app)[1:10]]
        text = "\n".join(" ".join(row) for row in rows)
        assert "net (new lora) Net" in text
        assert "stem new Conv2d" in text
        assert "layer1 lora 8 Sequential" in text  # all of it that can have one
        assert "conv lora 8 Conv2d 1.2M <1% 0.1x" in text
        assert "norm BatchNorm2d" in text
        assert "head lora 16 Linear" in text
        assert "of 1,215,454 parameters" in screen(app)[-1]  # the adapters count
        app.pane.apply_plan(PLAN)
        await pilot.pause()
        assert screen(app)[0] == plain


# Several modules


async def test_a_range_grows_and_shrinks_with_the_cursor() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("j", "v", "j", "j")
        assert [line[0] for line in screen(app)[1:6]] == [" ", "┃", "┃", "█", " "]
        assert screen(app)[-1].endswith("(<1%), 3 selected")
        await pilot.press("k", "k", "k")
        assert [line[0] for line in screen(app)[1:6]] == ["█", "┃", " ", " ", " "]
        await pilot.press("V")  # the same key ends it
        assert [line[0] for line in screen(app)[1:6]] == ["▌", " ", " ", " ", " "]
        assert screen(app)[-1].endswith("(<1%)")


async def test_every_key_acts_on_all_that_is_selected_in_one_request() -> None:
    app = TreeApp(FITTING)
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("G", "V", "k")  # head and layer1
        both = ["layer1", "head"]
        await pilot.press("space", "minus", "i", "a", "D", "equals_sign", "3", "enter")
        await pilot.press("L", "4", "enter")
        assert app.asked == [
            (TRAIN, both),
            (Multiply(0.5), both),
            (Reinitialise(True), both),
            (Adapt(8), both),
            (Adapt(8, True), both),
            (SetScale(3), both),
            (Adapt(4), both),
        ]
        assert app.tree_table.selected_count == 2  # it stays, for another key


async def test_what_trains_as_a_whole_is_frozen_as_a_whole() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        app.pane.apply_plan({"stem": OwnPlan(9_408), "head": OwnPlan(5_130)})
        await pilot.press("j", "t", "G", "t", "space")
        assert app.asked == [(FREEZE, ["stem", "head"])]


async def test_single_modules_are_tagged_and_a_range_adds_to_them() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("j", "t")
        assert app.at == "act"  # on to the next one
        await pilot.press("G", "v", "space")
        assert app.asked == [(TRAIN, ["stem", "head"])]
        await pilot.press("v", "g", "j", "t")  # the range goes, the tag too
        assert app.tree_table.selected_count == 0


async def test_a_module_in_another_that_is_selected_is_not_asked_for_twice() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("E", "j", "j", "v", "G", "space")
        assert app.asked == [(TRAIN, ["layer1", "head"])]  # act has no parameters


@pytest.mark.parametrize("key", ["escape", "backspace"])
async def test_the_selection_is_dropped_before_the_filter(key: str) -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("slash", *"layer", "enter", "v", "down", key)
        assert app.tree_table.selected_count == 0
        assert app.tree_table.filter_text == "layer"
        await pilot.press(key)
        assert app.tree_table.filter_text == ""


async def test_a_range_in_what_is_closed_stands_at_what_hides_it() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        app.tree_table.select("layer1.0.norm")
        await pilot.press("v", "k", "k", "h", "h", "h")
        assert app.at == "layer1"
        await pilot.press("space")
        assert app.asked == [(TRAIN, ["layer1"])]


async def test_another_model_has_nothing_selected() -> None:
    app = TreeApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press("v", "G")
        app.pane.set_model(ROWS[:3], "other")
        await pilot.pause()
        assert app.tree_table.selected_count == 0
        assert [line[0] for line in screen(app)[1:4]] == ["▌", " ", " "]


async def test_without_a_model_nothing_is_asked() -> None:
    app = TreeApp(rows=[])
    async with app.run_test(size=(80, 20), notifications=True) as pilot:
        await pilot.press("v", "t", "equals_sign", "minus", "i", "a", "L", "D")
        assert app.asked == []
        assert notices(app) == []
        assert app.focused is app.tree_table


async def test_a_selection_reads_without_colours_in_ascii_too() -> None:
    app = TreeApp(ascii_only=True)
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.press("v", "j")
        assert [line[0] for line in screen(app)[1:4]] == ["+", "#", " "]
